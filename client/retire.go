package client

import (
	"context"
	"errors"
	"time"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/room"
	"github.com/securelink-chat/securelink/wire"
)

const (
	retireEvery  = 24 * time.Hour
	retireSpread = 5 * time.Second // among the members, so that one of them does it
)

// retire lets guests go who have not been in an open room for long, on the word
// of the server's delegate, which the rules check again. It looks once a
// connection and once a day.
func (c *chat) retire(ctx context.Context, s *session) (time.Duration, error) {
	c.mu.Lock()
	due := c.state != nil && c.state.State() == room.StateMember && c.rec.Mode == ModeOpen
	if due && c.retireAt.IsZero() {
		c.retireAt = time.Now().Add(spread(retireSpread))
	}
	left := time.Until(c.retireAt)
	c.mu.Unlock()
	if !due {
		return never, nil
	}
	if left > 0 {
		return left, nil
	}
	notices, err := c.retired(ctx, s)
	if errors.Is(err, errOffline) {
		return never, err
	}
	c.mu.Lock()
	c.retireAt = time.Now().Add(retireEvery + spread(retireEvery/24))
	c.mu.Unlock()
	for _, notice := range notices {
		if _, err := c.intend(room.Intent{Kind: room.IntentRetire, Notice: notice}); err != nil {
			c.e.log(LogInfo, "retire", "room", c.id.String(), "error", err.Error())
			break
		}
	}
	return retireEvery, nil
}

// retired asks who is gone, and for the delegate's word on their stays.
func (c *chat) retired(ctx context.Context, s *session) ([][]byte, error) {
	var answer wire.ListRetiredOK
	if err := s.call(ctx, wire.Key{}, wire.ListRetired{Room: c.id}, &answer); err != nil || len(answer.Gone) == 0 {
		return nil, err
	}
	request := wire.ListRetired{Room: c.id}
	c.mu.Lock()
	if c.state != nil {
		for _, m := range c.state.Info().Members {
			for _, d := range m.Devices {
				for _, gone := range answer.Gone {
					if !m.Own && d.Device == identity.DeviceID(gone.Device) && m.User == identity.UserID(gone.User) {
						request.Stays = append(request.Stays, wire.Stay{Device: gone.Device, JoinID: wire.StayID(d.JoinID)})
					}
				}
			}
		}
	}
	c.mu.Unlock()
	if len(request.Stays) == 0 {
		return nil, nil
	}
	err := s.call(ctx, wire.Key{}, request, &answer)
	return answer.Notices, err
}
