package engineio

// Parked reports whether a poll waits, for tests that need two at once.
func (s *Session) Parked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.poll != nil && s.poll.parked != nil
}

// Posting reports whether a POST is being read.
func (s *Session) Posting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.poll != nil && s.poll.posting
}

// Probing reports whether a WebSocket is taking the session over.
func (s *Session) Probing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.poll != nil && s.poll.probe != nil
}
