package service

import (
	"context"
	"iter"
	"time"

	"switchboard"
	"switchboard/internal/api"
)

// MemberPage is one page of members, and how many there are in the whole channel.
type MemberPage struct {
	Members      []switchboard.Member
	Count, Users uint64
	// NextPage asks for the next page; empty: this was the last.
	NextPage string
}

// MemberCount is how many sessions, and how many distinct users, are in a channel.
type MemberCount struct {
	Channel        string
	Members, Users uint64
}

// UserSession is one session of a user.
type UserSession struct {
	Session, Node string
	Connected     time.Time
	Channels      []string
}

// Online is where a user is. UnreachedNodes did not answer: what they have is missing here.
type Online struct {
	Online         bool
	Sessions       []UserSession
	UnreachedNodes []string
}

// PresencePosition is a place in a channel's order of joins and leaves; the epoch is opaque.
type PresencePosition struct {
	Epoch    string
	Sequence uint64
}

// Change is the next thing to know about a channel's members. Exactly one of Snapshot, Join and Leave is set.
type Change struct {
	// Snapshot is all who are there, and replaces what was known before.
	Snapshot []switchboard.Member
	Join     *switchboard.Member
	Leave    *switchboard.Member
	// Position is where a watch that broke off may resume.
	Position PresencePosition
}

// Members gives one page of a channel's members; a size of 0 is the hub's default, page the NextPage of the page before.
func (s *Service) Members(ctx context.Context, channel string, size uint32, page string) (MemberPage, error) {
	request := &api.ListMembersRequest{Channel: channel, PageSize: size, PageToken: page}
	answer, err := repeated(ctx, s, func(ctx context.Context) (*api.ListMembersResponse, error) {
		return s.presence.ListMembers(ctx, request)
	})
	if err != nil {
		return MemberPage{}, err
	}
	return MemberPage{members(answer.GetMembers()), answer.GetCount(), answer.GetUsers(), answer.GetNextPageToken()}, nil
}

// AllMembers gives all of a channel's members, page after page; the last pair has an error where one failed.
func (s *Service) AllMembers(ctx context.Context, channel string, size uint32) iter.Seq2[switchboard.Member, error] {
	return func(yield func(switchboard.Member, error) bool) {
		for token := ""; ; {
			page, err := s.Members(ctx, channel, size, token)
			if err != nil {
				yield(switchboard.Member{}, err)
				return
			}
			for _, member := range page.Members {
				if !yield(member, nil) {
					return
				}
			}
			if token = page.NextPage; token == "" {
				return
			}
		}
	}
}

// CountMembers counts the members of channels, in the order asked.
func (s *Service) CountMembers(ctx context.Context, channels ...string) ([]MemberCount, error) {
	answer, err := repeated(ctx, s, func(ctx context.Context) (*api.CountMembersResponse, error) {
		return s.presence.CountMembers(ctx, &api.CountMembersRequest{Channels: channels})
	})
	if err != nil {
		return nil, err
	}
	counts := make([]MemberCount, 0, len(channels))
	for _, count := range answer.GetCounts() {
		counts = append(counts, MemberCount{count.GetChannel(), count.GetMembers(), count.GetUsers()})
	}
	return counts, nil
}

// LookupUser says whether a user is online, and by which sessions.
func (s *Service) LookupUser(ctx context.Context, user string) (Online, error) {
	answer, err := repeated(ctx, s, func(ctx context.Context) (*api.LookupUserResponse, error) {
		return s.presence.LookupUser(ctx, &api.LookupUserRequest{User: user})
	})
	if err != nil {
		return Online{}, err
	}
	online := Online{Online: answer.GetOnline(), UnreachedNodes: answer.GetUnreachedNodes()}
	for _, session := range answer.GetSessions() {
		connected := time.UnixMilli(session.GetConnectedMs())
		online.Sessions = append(online.Sessions, UserSession{session.GetSession(), session.GetNode(), connected, session.GetChannels()})
	}
	return online, nil
}

// Watch gives first who is there, then every join and leave, until the context is over. It resumes by itself where it broke off, or begins
// with a new snapshot. The last pair has an error where another attempt would fail again. resume may be nil.
func (s *Service) Watch(ctx context.Context, channel string, resume *PresencePosition) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		watch := watch{channel: channel, resume: resume}
		for attempt := 0; ; attempt++ {
			told, goesOn := watch.once(ctx, s, yield, &attempt)
			if !goesOn || ctx.Err() != nil {
				return
			}
			if told != nil && !told.Retryable {
				yield(Change{}, told)
				return
			}
			if told == nil {
				told = &switchboard.Error{}
			}
			if !sleep(ctx, waitFor(told, attempt)) {
				return
			}
		}
	}
}

type watch struct {
	channel  string
	resume   *PresencePosition
	snapshot []switchboard.Member
}

// once is one call of the watch: what it failed with, nil where it ended in good order, and whether anybody still listens.
func (w *watch) once(ctx context.Context, s *Service, yield func(Change, error) bool, attempt *int) (*switchboard.Error, bool) {
	ctx, done := context.WithCancel(ctx)
	defer done()
	request := &api.WatchPresenceRequest{Channel: w.channel}
	if w.resume != nil {
		request.Resume = &api.PresencePosition{Epoch: w.resume.Epoch, Sequence: w.resume.Sequence}
	}
	call, err := s.presence.WatchPresence(s.authorized(ctx), request)
	if err != nil {
		return errorOf(err), true
	}
	w.snapshot = nil
	for {
		answer, err := call.Recv()
		if err != nil {
			return errorOf(err), true
		}
		*attempt = 0
		if change, is := w.take(answer); is && !yield(change, nil) {
			return nil, false
		}
	}
}

// take takes in what a watch was told, and gives the change where it is whole.
func (w *watch) take(answer *api.WatchPresenceResponse) (Change, bool) {
	if part := answer.GetSnapshot(); part != nil {
		w.snapshot = append(w.snapshot, members(part.GetMembers())...)
		if !part.GetComplete() {
			return Change{}, false
		}
		w.resume = &PresencePosition{part.GetEpoch(), part.GetSequence()}
		whole := append([]switchboard.Member{}, w.snapshot...)
		w.snapshot = nil
		return Change{Snapshot: whole, Position: *w.resume}, true
	}
	if w.resume == nil {
		return Change{}, false
	}
	var change Change
	if join := answer.GetJoin(); join != nil {
		joined := member(join.GetMember())
		change = Change{Join: &joined, Position: PresencePosition{w.resume.Epoch, join.GetSequence()}}
	} else if leave := answer.GetLeave(); leave != nil {
		left := member(leave.GetMember())
		change = Change{Leave: &left, Position: PresencePosition{w.resume.Epoch, leave.GetSequence()}}
	} else {
		return Change{}, false
	}
	w.resume = &change.Position
	return change, true
}

func members(written []*api.Member) []switchboard.Member {
	read := make([]switchboard.Member, 0, len(written))
	for _, one := range written {
		read = append(read, member(one))
	}
	return read
}

func member(written *api.Member) switchboard.Member {
	return switchboard.Member{Session: written.GetSession(), User: written.GetUser(), Info: written.GetInfo()}
}
