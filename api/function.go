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
)

// Function is code that runs when called.
type Function struct {
	Meta
	Spec   FunctionSpec   `json:"spec"`
	Status FunctionStatus `json:"status"`
}

// FunctionSpec is what a user asks of a function.
type FunctionSpec struct {
	Runtime   string            `json:"runtime" enum:"wasm,python,nodejs,provided" doc:"how the code is run"`
	Source    string            `json:"source" doc:"id of the uploaded code (src-...)"`
	Handler   string            `json:"handler,omitempty" doc:"module.function for python and nodejs, as main.handler; given to a provided runtime as it is; unused for wasm"`
	MemoryMB  int64             `json:"memoryMb,omitempty" minimum:"0" maximum:"10240" doc:"128 when 0"`
	TimeoutMs int64             `json:"timeoutMs,omitempty" minimum:"0" maximum:"900000" doc:"3000 when 0"`
	Env       map[string]string `json:"env,omitempty"`
	Databases []string          `json:"databases,omitempty" doc:"databases of the project, given as DATABASE_URL (the first) and DATABASE_URL_NAME"`
	Network   string            `json:"network,omitempty" enum:",none,project,internet" doc:"none when empty, project when a database is bound"`
}

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
	Sync  InvocationType = "sync"
	Async InvocationType = "async"
)

// Invocation is one call. Payload is any bytes, empty allowed.
type Invocation struct {
	Payload     []byte
	ContentType string
	Type        InvocationType
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
}

// Functions are a project's functions.
type Functions interface {
	Resource[Function, FunctionSpec]
	// Invoke runs the function. An error of the function is no error here: see Answer.FunctionError.
	// NotFound; Invalid: payload over MaxPayloadBytes; Exhausted: too many calls at once; Unavailable: no runtime; Unsupported: the engine has none.
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
	Function string `json:"function"`
	HTTP     bool   `json:"http" doc:"requests to FUNCTION.fn.localhost call the function"`
}

// TriggerStatus is how the trigger does.
type TriggerStatus struct {
	Status
	URL string `json:"url,omitempty"`
}

// Triggers are a project's triggers. Conflict: the function has such a trigger already.
type Triggers interface {
	Resource[Trigger, TriggerSpec]
}
