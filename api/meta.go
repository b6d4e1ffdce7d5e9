package api

import (
	"regexp"
	"time"
)

// Meta is what every stored noun begins with. The user gives Name; the cloud gives the rest.
type Meta struct {
	ID         string     `json:"id" doc:"prefix of the noun and 16 hex digits, never reused"`
	Name       string     `json:"name" doc:"DNS label, 1 to 40 characters, unique within project and noun"`
	Project    string     `json:"project" doc:"name of the project"`
	Generation int64      `json:"generation" doc:"grows by one with each change of spec"`
	CreatedAt  time.Time  `json:"createdAt"`
	DeletedAt  *time.Time `json:"deletedAt,omitempty" doc:"set while a deletion is under way"`
}

// Head returns the Meta of a noun, so that code for all nouns can be written once.
func (m *Meta) Head() *Meta { return m }

// Phase is where a noun is in its life.
type Phase string

// The phases of every noun.
const (
	Pending  Phase = "pending"
	Running  Phase = "running"
	Updating Phase = "updating"
	Degraded Phase = "degraded"
	Stopping Phase = "stopping"
	Stopped  Phase = "stopped"
	Deleting Phase = "deleting"
	Failed   Phase = "failed"
)

// Status is what every noun's status begins with. The control plane writes it.
type Status struct {
	Phase      Phase      `json:"phase" enum:"pending,running,updating,degraded,stopping,stopped,deleting,failed"`
	Reason     string     `json:"reason" doc:"why the phase is what it is, for people"`
	Generation int64      `json:"generation" doc:"the generation of spec that the world has reached"`
	ObservedAt *time.Time `json:"observedAt,omitempty"`
}

// State returns the Status of a noun's status, so that code for all nouns can be written once.
func (s *Status) State() *Status { return s }

// Settled reports whether the world has caught up with the spec, for better or worse: nothing is under way.
func Settled(m Meta, s Status) bool {
	if m.DeletedAt != nil || s.Generation != m.Generation {
		return false
	}
	return s.Phase == Running || s.Phase == Stopped || s.Phase == Failed || s.Phase == Degraded
}

// Page asks for part of a list in name order. Limit 0 means 100; 1000 is the most. After is the Next of the page before.
type Page struct {
	Limit int
	After string
}

// List is one page. Next is empty on the last one.
type List[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next"`
}

var label = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)

// CheckName returns an Invalid error unless name is a DNS label of 1 to 40 characters.
// what names the noun in the message: "instance", "app".
func CheckName(what, name string) error {
	if label.MatchString(name) {
		return nil
	}
	return Errorf(Invalid, "cannot use %q as the name of %s %s: a name has 1 to 40 characters a-z, 0-9 and -, and - is neither first nor last",
		name, article(what), what)
}

func article(word string) string {
	if len(word) > 0 && (word[0] == 'a' || word[0] == 'e' || word[0] == 'i' || word[0] == 'o') {
		return "an"
	}
	return "a"
}
