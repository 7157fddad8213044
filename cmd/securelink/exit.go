package main

// Exit codes are part of the interface: scripts branch on them.
const (
	exitOK        = 0
	exitUsage     = 1 // the arguments or the input
	exitInternal  = 2 // a fault of ours, or of this machine
	exitNetwork   = 3 // the server cannot be reached, or failed
	exitUntrusted = 4 // the server's or a person's key is not the known one
	exitRate      = 5 // told to come back later
	exitDenied    = 6 // not allowed
	exitNotInRoom = 7 // no such room for this user
)

// failure is an error with the code that the process ends with and, where
// there is one, a line that says what to do next.
type failure struct {
	code  int
	err   error
	hint  string
	quiet bool // it was told already
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// fail makes an error that ends the process with a code.
func fail(code int, err error, hint string) error {
	return &failure{code: code, err: err, hint: hint}
}
