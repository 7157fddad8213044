package core

import (
	"context"

	"github.com/securelink-chat/securelink/wire"
)

// handler runs one kind of request.
type handler struct {
	anyone bool // also before login
	keyed  bool // needs an idempotency key, and its answer is remembered
	run    func(ctx context.Context, c *conn, it *wire.Item) (any, error)
}

// typed makes a handler of a function of the decoded body.
func typed[R any](fn func(*conn, context.Context, *R) (any, error)) handler {
	return handler{run: func(ctx context.Context, c *conn, it *wire.Item) (any, error) {
		body := new(R)
		if err := it.DecodeBody(body); err != nil {
			return nil, wire.Refuse(wire.Malformed)
		}
		return fn(c, ctx, body)
	}}
}

// keyed makes a handler whose changes and answer are committed together under
// the request's key. The function returns what to answer and what to change.
func keyed[R any](fn func(*conn, context.Context, *R) (any, []Change, error)) handler {
	run := func(ctx context.Context, c *conn, it *wire.Item) (any, error) {
		body := new(R)
		if err := it.DecodeBody(body); err != nil {
			return nil, wire.Refuse(wire.Malformed)
		}
		old, err := c.s.answers.begin(ctx, c.user, it.Key, it.Op)
		if err != nil {
			return nil, err
		}
		if old != nil {
			return encodedBody(old), nil
		}
		done := false
		defer func() { c.s.answers.end(c.user, it.Key, done) }()
		resp, changes, err := fn(c, ctx, body)
		if err != nil {
			return nil, err
		}
		raw, err := wire.Encode(resp)
		if err != nil {
			return nil, err
		}
		changes = append(changes, PutAnswer{AnswerRecord{User: c.user, Key: it.Key, Op: it.Op, Body: raw, Time: c.s.now()}})
		if err := c.s.writer.commit(changes...); err != nil {
			return nil, err
		}
		done = true
		return encodedBody(raw), nil
	}
	return handler{keyed: true, run: run}
}

func anyone(h handler) handler {
	h.anyone = true
	return h
}

// handlers is the whole of what a client can ask.
var handlers = map[wire.Op]handler{
	wire.OpHello:         anyone(typed((*conn).doHello)),
	wire.OpLogin:         anyone(typed((*conn).doLogin)),
	wire.OpGuest:         anyone(typed((*conn).doGuest)),
	wire.OpRegister:      anyone(typed((*conn).doRegister)),
	wire.OpPasswordSalt:  anyone(typed((*conn).doPasswordSalt)),
	wire.OpPasswordLogin: anyone(typed((*conn).doPasswordLogin)),
	wire.OpEnrol:         anyone(typed((*conn).doEnrol)),
	wire.OpPing:          anyone(typed((*conn).doPing)),
	wire.OpLogout:        typed((*conn).doLogout),
	wire.OpSetPassword:   typed((*conn).doSetPassword),
	wire.OpSetProfile:    typed((*conn).doSetProfile),
	wire.OpClaimAdmin:    typed((*conn).doClaimAdmin),

	wire.OpUploadKeyPackages: {keyed: true, run: uploadKeyPackages},
	wire.OpCountKeyPackages:  typed((*conn).doCountKeyPackages),
	wire.OpClaimKeyPackages:  {keyed: true, run: claimKeyPackages},
	wire.OpFindUser:          typed((*conn).doFindUser),
	wire.OpGetUser:           typed((*conn).doGetUser),

	wire.OpListDevices:   typed((*conn).doListDevices),
	wire.OpApproveDevice: typed((*conn).doApproveDevice),
	wire.OpDenyDevice:    typed((*conn).doDenyDevice),
	wire.OpRenameDevice:  typed((*conn).doRenameDevice),
	wire.OpRevokeDevice:  typed((*conn).doRevokeDevice),

	wire.OpCreateRoom: typed((*conn).doCreateRoom),
	wire.OpListRooms:  typed((*conn).doListRooms),
	wire.OpWatch:      typed((*conn).doWatch),
	wire.OpUnwatch:    typed((*conn).doUnwatch),
	wire.OpSync:       typed((*conn).doSync),
	wire.OpAppend:     {keyed: true, run: runAppend},
	wire.OpRoute:      typed((*conn).doRoute),
	wire.OpMembers:    typed((*conn).doMembers),
	wire.OpRefill:     typed((*conn).doRefill),

	wire.OpListWelcomes: typed((*conn).doListWelcomes),
	wire.OpAckWelcomes:  typed((*conn).doAckWelcomes),
	wire.OpPutGroupInfo: typed((*conn).doPutGroupInfo),
	wire.OpGetGroupInfo: typed((*conn).doGetGroupInfo),
	wire.OpPutBlob:      typed((*conn).doPutBlob),
	wire.OpGetBlob:      typed((*conn).doGetBlob),

	wire.OpTurn:        typed((*conn).doTurn),
	wire.OpReleaseTurn: typed((*conn).doReleaseTurn),
	wire.OpSignal:      typed((*conn).doSignal),
	wire.OpPresence:    typed((*conn).doPresence),

	wire.OpCreateLink:  typed((*conn).doCreateLink),
	wire.OpListLinks:   typed((*conn).doListLinks),
	wire.OpRevokeLink:  typed((*conn).doRevokeLink),
	wire.OpFetchLink:   typed((*conn).doFetchLink),
	wire.OpKnock:       typed((*conn).doKnock),
	wire.OpListKnocks:  typed((*conn).doListKnocks),
	wire.OpDropKnock:   typed((*conn).doDropKnock),
	wire.OpListRetired: typed((*conn).doListRetired),
}

// dispatch finds the handler and holds the session's standing against it.
func (c *conn) dispatch(ctx context.Context, it *wire.Item) (any, error) {
	h, ok := handlers[it.Op]
	switch {
	case !ok:
		return nil, wire.Refuse(wire.UnknownOp)
	case !c.hello && it.Op != wire.OpHello:
		return nil, wire.Refuse(wire.Unauthenticated)
	case !h.anyone && !c.loggedIn():
		if !c.waiting.IsZero() {
			return nil, wire.Refuse(wire.Waiting)
		}
		return nil, wire.Refuse(wire.Unauthenticated)
	}
	return h.run(ctx, c, it)
}
