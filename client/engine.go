package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/link"
	"github.com/securelink-chat/securelink/wire"
)

// Levels of a [Logger].
const (
	LogDebug = -4
	LogInfo  = 0
	LogWarn  = 4
	LogError = 8
)

// Logger takes what the engine has to say for a log: never a text, a name, a
// key or an address. Levels and pairs are those of log/slog, which the engine
// itself does without, because it is too large for a browser.
type Logger interface {
	Log(level int, message string, pairs ...any)
}

// Dialer opens connections to the one server.
type Dialer interface {
	// Dial returns a fresh frame connection. The context bounds the attempt,
	// not the connection.
	Dial(ctx context.Context) (link.FrameConn, error)
}

// Config is what an engine is made of.
type Config struct {
	Storage Storage
	Dialer  Dialer
	Pin     [32]byte       // SHA-256 of the server's root key; zero: trust on first use
	RSA     link.KeySource // nil: made on this processor, ahead of need; not in a browser
	Class   identity.Class // zero: native
	Logger  Logger         // nil: none
	Lounge  bool           // enter the Lounge without being asked
	Version string
	Server  string // what to call the server's address in Info

	// Spread picks how long, up to a limit, this device waits with what the
	// members of a room would otherwise do all at once; nil: by lot.
	Spread func(limit time.Duration) time.Duration

	// Argon computes Argon2id (32 bytes) elsewhere; nil: here.
	Argon func(ctx context.Context, password, salt []byte, time, memoryKiB uint32) ([]byte, error)
}

// Engine drives one profile. New makes it, Run works until it is told to stop;
// Do and Events may be used from any goroutine, before and during Run.
type Engine struct {
	cfg      Config
	out      *outlet
	requests chan Request
	wake     chan struct{} // try to connect now

	// work counts what Run waits for; begin adds to it until Run stops.
	work    sync.WaitGroup
	ctx     context.Context // of Run
	stop    context.CancelCauseFunc
	pool    *link.KeyPool
	started chan struct{}

	checking sync.Mutex // held by checkDevices

	mu       sync.Mutex // guards what follows
	account  account
	server   serverRecord
	session  *session      // nil while there is no connection
	loggedIn bool          // session may ask for rooms
	changed  chan struct{} // closed and replaced when session or loggedIn change
	conn     Conn
	rooms    map[wire.RoomID]*chat
	peers    map[wire.UserID]*peer
	disowned []wire.DeviceID // own devices that were taken out

	asks      int // lookups of members since asksSince
	asksSince time.Time
	contacts  uint64 // how often it has changed who is known by what name

	signalling uint8 // setting of the signals of rooms that have none of their own
}

var (
	errStopped  = errors.New("client: stopped")
	errErased   = errors.New("client: profile erased")
	errNoServer = errors.New("client: Config needs a Storage and a Dialer")
)

// New makes an engine; it does nothing before Run.
func New(cfg Config) (*Engine, error) {
	if cfg.Storage == nil || cfg.Dialer == nil {
		return nil, errNoServer
	}
	if cfg.Class == 0 {
		cfg.Class = identity.ClassNative
	}
	if cfg.Spread == nil {
		cfg.Spread = spread
	}
	return &Engine{
		cfg:      cfg,
		out:      newOutlet(),
		requests: make(chan Request, requestQueue),
		wake:     make(chan struct{}, 1),
		started:  make(chan struct{}),
		changed:  make(chan struct{}),
		rooms:    map[wire.RoomID]*chat{},
		peers:    map[wire.UserID]*peer{},
		conn:     Conn{State: ConnConnecting},
	}, nil
}

// Events is where the engine tells what happens. It is never closed.
func (e *Engine) Events() <-chan Event { return e.out.queue }

// Do hands a request to the engine. It waits only while 256 others do.
func (e *Engine) Do(r Request) {
	select {
	case e.requests <- r:
	case <-e.ended():
	}
}

// ended is closed once Run is over; before Run it is nil, which never is.
func (e *Engine) ended() <-chan struct{} {
	select {
	case <-e.started:
		return e.ctx.Done()
	default:
		return nil
	}
}

// Run loads the profile, connects, and works until the context ends or the
// profile is erased. It returns nil in both cases, when everything that it
// started has ended; an error means that the profile cannot be used.
func (e *Engine) Run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	e.ctx, e.stop = ctx, stop
	close(e.started)
	defer stop(errStopped)
	if e.cfg.RSA == nil {
		e.pool = link.NewKeyPool(2)
		defer e.pool.Close()
		e.cfg.RSA = e.pool
	}
	if err := e.load(ctx); err != nil {
		// Rooms that were loaded already have begun to work.
		stop(errStopped)
		e.work.Wait()
		if errors.Is(err, context.Canceled) {
			return nil // somebody left before it had begun
		}
		return err
	}
	e.begin(func() { e.connectLoop(ctx) })
	e.begin(func() { e.upkeep(ctx) })
	e.dispatch(ctx)
	e.work.Wait()
	cause := context.Cause(ctx)
	var damage *damaged
	if errors.As(cause, &damage) {
		return damage.err
	}
	return nil
}

// damaged is the cause of a stop that Run reports.
type damaged struct{ err error }

func (d *damaged) Error() string { return d.err.Error() }
func (d *damaged) Unwrap() error { return d.err }

// fail stops the engine: a profile that cannot be written must not go on.
func (e *Engine) fail(err error) { e.stop(&damaged{err}) }

// begin runs f in a goroutine that Run waits for.
func (e *Engine) begin(f func()) { e.work.Go(f) }

func (e *Engine) log(level int, message string, pairs ...any) {
	if e.cfg.Logger != nil {
		e.cfg.Logger.Log(level, message, pairs...)
	}
}

// load reads the profile and tells the interface what is there.
func (e *Engine) load(ctx context.Context) error {
	if _, err := get(ctx, e.cfg.Storage, []byte(keyAccount), &e.account); err != nil {
		return err
	}
	if _, err := get(ctx, e.cfg.Storage, []byte(keyServer), &e.server); err != nil {
		return err
	}
	if _, err := get(ctx, e.cfg.Storage, []byte(keyDisowned), &e.disowned); err != nil {
		return err
	}
	if _, err := get(ctx, e.cfg.Storage, []byte(keySignals), &e.signalling); err != nil {
		return err
	}
	e.signalling %= uint8(len(settings))
	if err := e.checkPin(ctx); err != nil {
		return err
	}
	if err := e.loadPeers(ctx); err != nil {
		return err
	}
	account := e.accountView()
	e.out.tell(Event{Kind: EvAccount, Account: &account})
	conn := e.conn
	e.out.tell(Event{Kind: EvConnection, Conn: &conn})
	return e.loadRooms(ctx)
}

// dispatch takes requests until the context ends. What needs no answer of the
// server is done here, in order; the rest waits in goroutines of its own.
func (e *Engine) dispatch(ctx context.Context) {
	slow := make(chan struct{}, 32)
	for {
		select {
		case r := <-e.requests:
			if ev, err, done := e.quick(ctx, r); done {
				e.answer(r, ev, err)
				continue
			}
			select {
			case slow <- struct{}{}:
			case <-ctx.Done():
				return
			}
			e.begin(func() {
				defer func() { <-slow }()
				ev, err := e.slow(ctx, r)
				e.answer(r, ev, err)
			})
		case <-ctx.Done():
			return
		}
	}
}

// answer replies to a request.
func (e *Engine) answer(r Request, ev Event, err error) {
	if r.ID == 0 && err == nil {
		return
	}
	ev.Kind, ev.Reply = EvReply, r.ID
	if err != nil {
		ev = Event{Kind: EvReply, Reply: r.ID, Problem: problem(err)}
	}
	e.out.reply(ev)
}

// online waits for a connection that is logged in.
func (e *Engine) online(ctx context.Context) (*session, error) {
	return e.awaitSession(ctx, true)
}

// patience is how long a request waits for a connection.
const patience = 45 * time.Second

func (e *Engine) awaitSession(ctx context.Context, login bool) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		e.mu.Lock()
		s, in, changed, why := e.session, e.loggedIn, e.changed, e.conn
		none := e.account.State == ""
		e.mu.Unlock()
		if s != nil && (in || !login) {
			return s, nil
		}
		if login && none && s != nil {
			return nil, &Problem{Code: ProblemNoAccount, Text: "There is no account yet.", Hint: "Choose a name first."}
		}
		if why.State == ConnUntrusted || why.State == ConnUpdateNeeded || why.State == ConnSignedOut {
			return nil, &Problem{Code: ProblemUntrusted, Text: why.Reason}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %s", errOffline, why.Reason)
		}
	}
}

// problem puts an error into words for a person.
func problem(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	var refused *wire.Error
	if errors.As(err, &refused) {
		return refusal(refused)
	}
	switch {
	case errors.Is(err, errOffline), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &Problem{Code: ProblemOffline, Text: "There is no connection to the server.", Hint: "It is tried again by itself."}
	case errors.Is(err, identity.ErrName):
		return &Problem{Code: ProblemUsage, Text: "This cannot be a name.", Hint: "Use 1 to 40 letters, digits or punctuation marks."}
	case errors.Is(err, identity.ErrLogin):
		return &Problem{Code: ProblemUsage, Text: "This cannot be a login name.", Hint: "Use 2 to 32 of a to z, 0 to 9, dot, dash and underscore, beginning with a letter."}
	case errors.Is(err, identity.ErrWeak):
		return &Problem{Code: "kdf-downgrade", Text: "The server asks for a weaker protection of the password than before.", Hint: "Do not type it here. Ask who runs the server."}
	}
	return &Problem{Code: ProblemInternal, Text: "Something went wrong here: " + err.Error()}
}

// refusal puts the server's no into words.
func refusal(e *wire.Error) *Problem {
	p := &Problem{Code: e.Code.String(), RetryMS: e.RetryAfter().Milliseconds()}
	switch e.Code {
	case wire.NotFound:
		p.Text, p.Hint = "The server knows of no such thing, or it is not for this account.", "Check the name or the link."
	case wire.Conflict:
		p.Text, p.Hint = "That is taken.", "Choose another."
	case wire.Limited:
		p.Text = fmt.Sprintf("Too many at once (limit %s).", e.Refusal.Limit)
		p.Hint = "Try again in " + wait(e.RetryAfter()) + "."
	case wire.TooLarge:
		p.Text = fmt.Sprintf("That is too large (limit %s).", e.Refusal.Limit)
	case wire.BadCredentials:
		p.Text, p.Hint = "Wrong name or password.", "Check both and try again."
	case wire.NotRegistering:
		p.Text, p.Hint = "This server takes new people by invitation only.", "Ask somebody there for a link."
	case wire.Waiting:
		p.Text, p.Hint = "This device waits for approval.", "Approve its code on a device that is in already."
	case wire.DeviceGone:
		p.Text = "This device was taken out of the account."
	case wire.Banned:
		p.Text = "This account is blocked by those who run the server."
	case wire.Busy, wire.Closing:
		p.Text, p.Hint = "The server is busy.", "Try again in "+wait(max(e.RetryAfter(), time.Second))+"."
	case wire.BadVersion, wire.UnknownOp:
		p.Text, p.Hint = "The server does not know this request.", "Update securelink, here or there."
	default:
		p.Text = "The server refused this (" + e.Code.String() + ")."
	}
	return p
}

// wait says a duration in seconds or minutes.
func wait(d time.Duration) string {
	if d > 2*time.Minute {
		return fmt.Sprintf("%d minutes", int(d.Minutes()+0.5))
	}
	if s := int((d + time.Second - 1) / time.Second); s != 1 {
		return fmt.Sprintf("%d seconds", s)
	}
	return "1 second"
}
