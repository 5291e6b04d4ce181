"""Links to one session: a WebSocket, or an event stream with commands by POST."""
