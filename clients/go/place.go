package switchboard

// SubscriptionState is where a subscription stands.
type SubscriptionState int

// A subscription is Subscribing until the hub has it, and again after each loss of the connection.
const (
	Subscribing SubscriptionState = iota
	Subscribed
	Unsubscribed
)

// place is one channel's place in its order of publications, across connections. It says what to ask, and what a frame means.
type place struct {
	channel string
	state   SubscriptionState
	// position is the last place received: the next connection goes on after it.
	position *Position
	policy   Policy
	rewind   uint32
	token    string
}

// ask: a session stands that does not have the channel yet.
func (p *place) ask() subscribeBody {
	p.state = Subscribing
	asked := subscribeBody{Channel: p.channel, Position: p.position, Token: p.token}
	if p.position == nil {
		asked.Rewind = p.rewind
	}
	return asked
}

// begin: the session has the channel, by the reply or by `subscribed`, whichever came first. It says whether that is news.
func (p *place) begin(result SubscribeResult) bool {
	if p.state != Subscribing {
		return false
	}
	p.state, p.policy = Subscribed, result.Policy
	begins := result.Position
	// A session may begin before what was received: what comes twice is told by its offset.
	if result.Recovered && p.position != nil && p.position.Epoch == begins.Epoch {
		begins.Offset = max(begins.Offset, p.position.Offset)
	}
	p.position = &begins
	return true
}

// mustAskAnew: whether the server's hand began elsewhere than this subscription has to go on.
func (p *place) mustAskAnew(result SubscribeResult) bool {
	mine, begins := p.position, result.Position
	return mine != nil && !result.Recovered && (mine.Epoch != begins.Epoch || mine.Offset < begins.Offset)
}

// message says whether a publication is to be handed on, and which gap to tell before it.
func (p *place) message(message Message) (deliver bool, gap *Gap) {
	switch {
	case p.state != Subscribed:
		return false, nil
	case message.Offset == 0 || p.position == nil:
		return true, nil
	case message.Offset <= p.position.Offset:
		return false, nil
	}
	// The hub announces its holes; one that comes unannounced is told all the same, and never passed over in silence.
	if message.Offset > p.position.Offset+1 {
		gap = &Gap{p.channel, Position{p.position.Epoch, message.Offset - 1}, "interrupted"}
	}
	p.position = &Position{p.position.Epoch, message.Offset}
	return true, gap
}

// gap: the hub announced a hole; the channel goes on after its position. It says whether it is of the present session.
func (p *place) gap(gap Gap) bool {
	if p.state != Subscribed {
		return false
	}
	position := gap.Position
	p.position = &position
	return true
}

// lost: the connection is gone, and with it what the session had.
func (p *place) lost() {
	if p.state == Subscribed {
		p.state = Subscribing
	}
}
