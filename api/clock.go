package api

import (
	"context"
	"time"
)

// ClockState is the billing clock: money uses its time, which may be ahead of real time and go faster.
type ClockState struct {
	Now          time.Time `json:"now" doc:"billing time"`
	Real         time.Time `json:"real"`
	Speed        int64     `json:"speed" doc:"billing seconds in a real second"`
	AheadSeconds int64     `json:"aheadSeconds" doc:"how far billing time is ahead of real time"`
}

// ClockChange asks for one of both.
type ClockChange struct {
	Speed          int64 `json:"speed,omitempty" minimum:"0" maximum:"1000000" doc:"1 to 1000000"`
	AdvanceSeconds int64 `json:"advanceSeconds,omitempty" minimum:"0" doc:"puts the clock forward"`
}

// Clock is the billing clock of the whole cloud. It never goes backwards.
type Clock interface {
	// Get answers what it shows.
	Get(ctx context.Context) (ClockState, error)
	// Change sets the speed or puts the clock forward: what runs is metered as if that time had passed, calls keep the time
	// they took. Invalid: neither or both, a speed or a time out of range. Unavailable: the engine does not say what runs. Forbidden to a
	// token limited to a project.
	Change(ctx context.Context, change ClockChange) (ClockState, error)
}
