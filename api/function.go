package api

import (
	"context"
	"time"
)

// Limits of a call, as on AWS Lambda.
const (
	MaxPayloadBytes  = 6 << 20 // sync, each way
	MinFunctionMB    = 128
	MaxFunctionMB    = 10240
	MaxFunctionMs    = 900_000
	DefaultMemoryMB  = 128
	DefaultTimeoutMs = 3000

	MaxFunctionConcurrency = 1000
)

// Function is code that runs when called.
type Function struct {
	Meta
	Spec   FunctionSpec   `json:"spec"`
	Status FunctionStatus `json:"status"`
}

// FunctionSpec is what a user asks of a function.
type FunctionSpec struct {
	Runtime     string            `json:"runtime" enum:"wasm,python,nodejs,provided" doc:"how the code is run"`
	Source      string            `json:"source" doc:"id of the uploaded code (src-...)"`
	Handler     string            `json:"handler,omitempty" doc:"module.function for python and nodejs, as main.handler; given to a provided runtime as it is; unused for wasm"`
	MemoryMB    int64             `json:"memoryMb,omitempty" minimum:"0" maximum:"10240" doc:"128 when 0"`
	TimeoutMs   int64             `json:"timeoutMs,omitempty" minimum:"0" maximum:"900000" doc:"3000 when 0"`
	Env         map[string]string `json:"env,omitempty"`
	Secrets     map[string]string `json:"secrets,omitempty" doc:"environment that is sealed at rest and never answered: each value reads ***, and *** keeps the value it has"`
	Databases   []string          `json:"databases,omitempty" doc:"databases of the project, given as DATABASE_URL (the first) and DATABASE_URL_NAME"`
	Concurrency int               `json:"concurrency,omitempty" minimum:"0" maximum:"1000" doc:"calls at once at most; 0: as many as the project has"`
	Network     string            `json:"network,omitempty" enum:",none,project,internet" doc:"none when empty, project when a database is bound"`
	Async       AsyncSpec         `json:"async,omitzero" doc:"what becomes of asynchronous calls; a change of it makes no version"`

	SecretsVersion int64 `json:"secretsVersion,omitempty" doc:"the cloud's number of this set of secrets; what is sent does not count"`
}

// AsyncSpec says what becomes of asynchronous calls. Times and numbers are those of AWS Lambda where they are 0 or absent.
type AsyncSpec struct {
	Retries       *int   `json:"retries,omitempty" minimum:"0" maximum:"2" doc:"calls after one that failed; 2 when absent"`
	RetryDelayMs  int64  `json:"retryDelayMs,omitempty" minimum:"0" maximum:"900000" doc:"pause before the first retry, doubled before the second; a minute when 0"`
	MaxAgeSeconds int64  `json:"maxAgeSeconds,omitempty" minimum:"0" maximum:"21600" doc:"an event is given up at this age; 60 at least, 6 hours when 0"`
	OnSuccess     string `json:"onSuccess,omitempty" doc:"gets the record of a call that succeeded: queue:NAME, topic:NAME or function:NAME"`
	OnFailure     string `json:"onFailure,omitempty" doc:"gets the record of an event that is given up"`
}

// Defaults and limits of asynchronous calls.
const (
	DefaultRetries       = 2
	DefaultRetryDelayMs  = 60_000
	MaxRetryDelayMs      = 900_000
	MinEventAgeSeconds   = 60
	MaxEventAgeSeconds   = 21_600
	MaxFunctionEvents    = 100_000 // accepted and not done yet, of one function
	MaxFunctionEventSize = 256 << 20
)

// FunctionStatus is how the function does.
type FunctionStatus struct {
	Status
	URL       string `json:"url,omitempty" doc:"set while an HTTP trigger exists"`
	Version   int    `json:"version" doc:"grows with each deploy"`
	LastError string `json:"lastError,omitempty"`
}

// InvocationType says whether the caller waits.
type InvocationType string

// The invocation types.
const (
	Sync   InvocationType = "sync"
	Async  InvocationType = "async"
	DryRun InvocationType = "dry-run" // only looks whether the call could be made; the answer is empty
)

// Invocation is one call. Payload is any bytes, empty allowed.
type Invocation struct {
	Payload     []byte
	ContentType string
	Type        InvocationType
	Qualifier   string // a published version's number, or an alias; "" is what was deployed last
}

// Answer is what came of a call. FunctionError is "" where the function did not fail, else Handled or Unhandled;
// Payload is then the error document {"errorMessage","errorType","stackTrace"}.
type Answer struct {
	Payload       []byte
	ContentType   string
	FunctionError string
	Log           string // the last 4 KB
	Receipt       Receipt
}

// Receipt is the durable record of one call. Times are real time; BilledAt is billing time.
type Receipt struct {
	RequestID       string    `json:"requestId"`
	Project         string    `json:"project"`
	Function        string    `json:"function"`
	FunctionID      string    `json:"functionId"`
	Version         int       `json:"version"`
	StartedAt       time.Time `json:"startedAt"`
	BilledAt        time.Time `json:"billedAt"`
	Cold            bool      `json:"cold"`
	DurationMs      string    `json:"durationMs" doc:"decimal, microsecond resolution"`
	InitMs          string    `json:"initMs" doc:"decimal; 0 on a warm call"`
	BilledMs        int64     `json:"billedMs" doc:"duration and init, rounded up to 1 ms"`
	MemoryMB        int64     `json:"memoryMb"`
	MaxMemoryUsedMB int64     `json:"maxMemoryUsedMb"`
	GBSeconds       string    `json:"gbSeconds" doc:"exact decimal"`
	Price           string    `json:"price" doc:"USD per GB-second"`
	Cost            string    `json:"cost" doc:"USD of this call, request fee included, unrounded to 12 decimals"`
	Status          string    `json:"status" enum:"ok,error,timeout,crash"`
	Attempt         int       `json:"attempt,omitempty" doc:"of an asynchronous call, from 1; all attempts have one request id"`
}

// Functions are a project's functions.
type Functions interface {
	Resource[Function, FunctionSpec]
	// Invoke runs the function. An error of the function is no error here: see Answer.FunctionError. An asynchronous call is
	// answered when it is durable, with nothing but the request id in its receipt; its payload is MaxEventBytes at most.
	// NotFound: also a qualifier that names nothing; Invalid: payload over MaxPayloadBytes; Exhausted: too many calls at once; Unavailable: no runtime; Unsupported: the engine has none.
	Invoke(ctx context.Context, project, name string, call Invocation) (Answer, error)
	// Calls answers the newest receipts first, last of them at most (0: 20). NotFound.
	Calls(ctx context.Context, project, name string, last int) (List[Receipt], error)
}

// Trigger makes events call a function.
type Trigger struct {
	Meta
	Spec   TriggerSpec   `json:"spec"`
	Status TriggerStatus `json:"status"`
}

// TriggerSpec says which events. Exactly one kind is set.
type TriggerSpec struct {
	Function  string `json:"function,omitempty" doc:"what the events call"`
	ToQueue   string `json:"toQueue,omitempty" doc:"queue that gets the events in place of a function; not for http and queue"`
	Qualifier string `json:"qualifier,omitempty" doc:"an alias of the function, or the number of a published version; empty: what was deployed last"`
	HTTP      bool   `json:"http,omitempty" doc:"requests to FUNCTION.fn.localhost call the function"`

	Queue       string `json:"queue,omitempty" doc:"messages of this queue call the function, in batches"`
	Batch       int    `json:"batch,omitempty" minimum:"0" maximum:"1000" doc:"messages of a call at most; 10 when 0"`
	WindowMs    int64  `json:"windowMs,omitempty" minimum:"0" maximum:"300000" doc:"how long a batch waits to become full"`
	Concurrency int    `json:"concurrency,omitempty" minimum:"0" maximum:"1000" doc:"calls at once; 5 when 0"`

	Topic  string         `json:"topic,omitempty" doc:"events published to this topic, as CloudEvents 1.0 in structured mode"`
	Filter map[string]any `json:"filter,omitempty" doc:"only events with such attributes: a filter policy as on Amazon SNS"`

	Schedule string `json:"schedule,omitempty" doc:"five fields of cron in UTC, or rate(5 minutes)"`
	Clock    string `json:"clock,omitempty" enum:",real,billing" doc:"the clock that the schedule follows: real time, or billing time, which may be faster or put forward; what that jumps over counts as missed. real when empty"`
	Missed   string `json:"missed,omitempty" enum:",once,skip" doc:"what becomes of ticks while the cloud was down, or that its clock jumped over: one call for all, or none; once when empty"`

	DeadLetter string `json:"deadLetter,omitempty" doc:"queue for events that their target can not take, of a topic, a schedule or the life of things; without one they are lost, and counted"`

	Events []string `json:"events,omitempty" doc:"types of events of the life of things of the project, as app.deployed, app.* or *"`
}

// The clocks that a schedule may follow.
const (
	RealClock    = "real"
	BillingClock = "billing"
)

// Defaults and limits of the triggers of queues.
const (
	DefaultBatch            = 10
	MaxBatch                = 1000
	MaxBatchWindowMs        = 300_000
	DefaultBatchConcurrency = 5
	MaxBatchConcurrency     = 1000
)

// TriggerStatus is how the trigger does.
type TriggerStatus struct {
	Status
	NextAt *time.Time `json:"nextAt,omitempty" doc:"the next tick of a schedule"`
	URL    string     `json:"url,omitempty"`
}

// Triggers are a project's triggers. Conflict: the function has such a trigger already.
type Triggers interface {
	Resource[Trigger, TriggerSpec]
}
