package core

// Topic is what a message on the bus is about.
type Topic struct {
	Kind TopicKind
	ID   [32]byte
}

// TopicKind says whose id a topic has.
type TopicKind uint8

// The kinds of topic.
const (
	TopicRoom   TopicKind = 1 // a room id in the first 16 bytes
	TopicDevice TopicKind = 2 // a device id in the first 16 bytes
)

// Message is one encoded item, or several in a row.
type Message struct {
	Seq  uint64 // rooms: of the entry; 0 for what is not in the log
	Data []byte
}

// Bus carries encoded events to the cores that have connections which want
// them. One core alone needs only bus/local.
type Bus interface {
	// Publish hands msg to all who subscribe to topic at this moment. It does not
	// wait for other processes. Messages of one goroutine on one topic arrive in
	// the order in which they were published. msg is not changed by anyone.
	Publish(topic Topic, msg Message)
	// Subscribe calls fn for every message on topic until cancel was called;
	// calls for one topic do not overlap. fn must be quick and must not
	// subscribe or cancel.
	Subscribe(topic Topic, fn func(msg Message)) (cancel func())
}
