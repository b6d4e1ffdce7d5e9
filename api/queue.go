package api

import (
	"context"
	"time"
)

// Limits of queues and messages, those of Amazon SQS but for the two that bound a queue.
const (
	MaxEventBytes             = 256 << 10 // a message with its attributes, an asynchronous event, a published event
	MaxQueueMessages          = 100_000
	MaxQueueBytes             = 256 << 20
	MaxReceive                = 10 // messages at once
	MaxReceiveWaitSeconds     = 20
	MaxVisibilitySeconds      = 43_200
	DefaultVisibilitySeconds  = 30
	MaxDelaySeconds           = 900
	MinRetentionSeconds       = 60
	MaxRetentionSeconds       = 1_209_600
	DefaultRetentionSeconds   = 345_600
	MaxDeadLetterReceives     = 1000
	DefaultDeadLetterReceives = 10
	MaxMessageAttributes      = 10
)

// Queue keeps messages until somebody has dealt with them. Its order is about that of sending; a message may come twice.
type Queue struct {
	Meta
	Spec   QueueSpec   `json:"spec"`
	Status QueueStatus `json:"status"`
}

// QueueSpec says how a queue treats its messages.
type QueueSpec struct {
	VisibilitySeconds int64  `json:"visibilitySeconds,omitempty" minimum:"0" maximum:"43200" doc:"a received message comes again after this time unless it is acknowledged; 30 when 0"`
	DelaySeconds      int64  `json:"delaySeconds,omitempty" minimum:"0" maximum:"900" doc:"a new message can be received after this time"`
	RetentionSeconds  int64  `json:"retentionSeconds,omitempty" minimum:"0" maximum:"1209600" doc:"a message is dropped this time after it got into the queue; 60 at least, 4 days when 0"`
	DeadLetter        string `json:"deadLetter,omitempty" doc:"queue for messages that were received too often"`
	MaxReceives       int    `json:"maxReceives,omitempty" minimum:"0" maximum:"1000" doc:"so often; 10 when 0, with a dead-letter queue"`
}

// QueueStatus is what is in the queue. The numbers are of the moment of the answer.
type QueueStatus struct {
	Status
	Messages int64      `json:"messages" doc:"that can be received"`
	InFlight int64      `json:"inFlight" doc:"received and not acknowledged yet"`
	Delayed  int64      `json:"delayed" doc:"that can't be received yet"`
	Bytes    int64      `json:"bytes" doc:"of all messages"`
	OldestAt *time.Time `json:"oldestAt,omitempty" doc:"when the oldest message got in"`
}

// Message is one message of a queue.
type Message struct {
	ID              string            `json:"id"`
	Body            string            `json:"body" doc:"UTF-8 text"`
	Attributes      map[string]string `json:"attributes,omitempty"`
	SentAt          time.Time         `json:"sentAt"`
	VisibleAt       time.Time         `json:"visibleAt" doc:"from when on it can be received, unless it is acknowledged before"`
	Receives        int               `json:"receives" doc:"how often it was received"`
	FirstReceivedAt *time.Time        `json:"firstReceivedAt,omitempty"`
	ReceiptHandle   string            `json:"receiptHandle,omitempty" doc:"names this receive of it, to acknowledge or extend it"`
	DeadLetterOf    string            `json:"deadLetterOf,omitempty" doc:"queue, or function, that it was given up by"`
}

// NewMessage is what a sender gives.
type NewMessage struct {
	Body         string            `json:"body" doc:"UTF-8 text; 256 KiB with the attributes"`
	Attributes   map[string]string `json:"attributes,omitempty" doc:"10 at most"`
	DelaySeconds *int64            `json:"delaySeconds,omitempty" minimum:"0" maximum:"900" doc:"the queue's when absent"`
}

// ReceiveQuery says what a receiver wants.
type ReceiveQuery struct {
	Max               int    `json:"max,omitempty" minimum:"0" maximum:"10" doc:"messages at most; 1 when 0"`
	WaitSeconds       int64  `json:"waitSeconds,omitempty" minimum:"0" maximum:"20" doc:"how long to wait for a first one"`
	VisibilitySeconds *int64 `json:"visibilitySeconds,omitempty" minimum:"0" maximum:"43200" doc:"the queue's when absent"`
}

// Queues are a project's queues. Deleting one that a trigger, a function or another queue names is a Conflict; its messages go
// with it.
type Queues interface {
	Resource[Queue, QueueSpec]
}

// Messages are what is in queues. All answer NotFound where there is no such queue. What they have answered is durable.
type Messages interface {
	// Send. Invalid: too large, no text, bad attributes or delay. Exhausted: the queue is full.
	Send(ctx context.Context, project, queue string, m NewMessage) (Message, error)
	// Receive takes messages that nobody else can receive for a time. None there after the wait: an empty list. Invalid: bad numbers.
	Receive(ctx context.Context, project, queue string, q ReceiveQuery) (List[Message], error)
	// Acknowledge removes a received message for good; one that is gone is fine. Invalid: no such handle.
	// Conflict: the message was received again since.
	Acknowledge(ctx context.Context, project, queue, handle string) error
	// Extend lets a received message come again this long from now; 0: at once. Invalid, Conflict as above; NotFound: it is gone.
	Extend(ctx context.Context, project, queue, handle string, visibilitySeconds int64) (Message, error)
	// Purge removes all messages that are there now, and says how many.
	Purge(ctx context.Context, project, queue string) (int, error)
	// Redrive moves the messages of a dead-letter queue back to the queues they came from, and says how many. Those whose
	// queue is gone, or which are of a function, stay.
	Redrive(ctx context.Context, project, queue string) (int, error)
}
