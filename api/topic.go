package api

import "context"

// Topic hands what is published to all who have subscribed: the triggers that name it.
type Topic struct {
	Meta
	Spec   TopicSpec   `json:"spec"`
	Status TopicStatus `json:"status"`
}

// TopicSpec says what a topic is for.
type TopicSpec struct {
	Description string `json:"description,omitempty" maxLength:"500"`
}

// TopicStatus is how the topic does.
type TopicStatus struct {
	Status
}

// Topics are a project's topics. Deleting one that a trigger or a function names is a Conflict.
type Topics interface {
	Resource[Topic, TopicSpec]
	// Publish hands an event to all triggers of the topic whose filter it passes, and answers it as they get it when that is
	// durable. Where one can not take it, as its queue is full, it goes to the dead-letter queue of that trigger; the others get it. Plain data, without a Type, becomes an event of the topic; its Extensions are the attributes for filters.
	// NotFound. Invalid: over MaxEventBytes, or a bad attribute.
	Publish(ctx context.Context, project, topic string, e CloudEvent) (CloudEvent, error)
}
