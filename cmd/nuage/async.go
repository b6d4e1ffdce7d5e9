package main

import (
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"nuage/api"
)

// asyncFlags say what becomes of asynchronous calls of a function.
type asyncFlags struct {
	retries              int
	delay, age           span
	onSuccess, onFailure string
}

func (f *asyncFlags) declare(fs *pflag.FlagSet) {
	f.delay, f.age = span(api.DefaultRetryDelayMs*time.Millisecond), span(api.MaxEventAgeSeconds*time.Second)
	fs.IntVar(&f.retries, "retries", api.DefaultRetries, "asynchronous calls after one that failed, 0 to 2")
	fs.Var(&f.delay, "retry-delay", "pause before the first of them, twice as long before the second, up to 15m")
	fs.Var(&f.age, "max-event-age", "an asynchronous call is given up at this age, 1m to 6h")
	fs.StringVar(&f.onSuccess, "on-success", "", "where the record of an asynchronous call that succeeded goes: queue:Q, topic:T or function:F; default: nowhere")
	fs.StringVar(&f.onFailure, "on-failure", "", "where the record of one that is given up goes: queue:Q, topic:T or function:F; default: nowhere")
}

func (f asyncFlags) apply(spec *api.AsyncSpec, given func(string) bool) {
	if given("retries") {
		spec.Retries = &f.retries
	}
	if given("retry-delay") {
		spec.RetryDelayMs = time.Duration(f.delay).Milliseconds()
	}
	if given("max-event-age") {
		spec.MaxAgeSeconds = int64(time.Duration(f.age) / time.Second)
	}
	if given("on-success") {
		spec.OnSuccess = f.onSuccess
	}
	if given("on-failure") {
		spec.OnFailure = f.onFailure
	}
}

// asyncText says what was set.
func asyncText(s api.AsyncSpec) string {
	retries := api.DefaultRetries
	if s.Retries != nil {
		retries = *s.Retries
	}
	text := fmt.Sprintf("%d retries", retries)
	if s.OnSuccess != "" {
		text += ", success to " + s.OnSuccess
	}
	if s.OnFailure != "" {
		text += ", failure to " + s.OnFailure
	}
	return text
}
