package switchboard

// Waiting says how many commands await their reply.
func (c *Client) Waiting() int {
	c.mu.Lock()
	defer c.unlock()
	return len(c.requests)
}
