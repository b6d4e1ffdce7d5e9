package api

import (
	"context"
	"time"
)

// Lab is an exercise: a text, tasks in an order of their own, and how far its caller has come with it.
type Lab struct {
	Name      string            `json:"name"`
	Title     string            `json:"title"`
	Language  string            `json:"language" doc:"of the texts: en, fr, ..."`
	Languages []string          `json:"languages" doc:"there are"`
	Minutes   int               `json:"minutes" doc:"that it takes, about"`
	Level     string            `json:"level" enum:"beginner,intermediate,advanced"`
	Needs     []string          `json:"needs" doc:"engine: a real one; else the names of programs on the student's laptop"`
	Text      string            `json:"text,omitempty" doc:"why, in Markdown; absent in lists"`
	Closing   string            `json:"closing,omitempty" doc:"what to remember, in Markdown"`
	Tasks     []LabTask         `json:"tasks,omitempty" doc:"absent in lists"`
	Files     map[string][]byte `json:"files,omitempty" doc:"that the lab brings along, by their paths; absent in lists"`
	Run       *LabRun           `json:"run,omitempty" doc:"the caller's; absent: not started"`
}

// LabTask is one step of a lab.
type LabTask struct {
	Name     string      `json:"name"`
	Title    string      `json:"title"`
	Text     string      `json:"text" doc:"Markdown"`
	Needs    []string    `json:"needs,omitempty" doc:"tasks to be done before"`
	Question bool        `json:"question,omitempty" doc:"it wants a number as its answer"`
	Unit     string      `json:"unit,omitempty" doc:"of the answer"`
	Wrong    []LabMutant `json:"wrong,omitempty" doc:"wrong solutions, with which the lab is tested"`
}

// LabMutant is a wrong solution of a task, which the check has to refuse.
type LabMutant struct {
	Name   string `json:"name"`
	Do     string `json:"do,omitempty" doc:"shell script"`
	Answer string `json:"answer,omitempty" doc:"to a question"`
	Says   string `json:"says,omitempty" doc:"part of what the check says of it"`
	Undo   string `json:"undo,omitempty" doc:"shell script"`
	Fails  bool   `json:"fails,omitempty" doc:"it fails the lab, by an invariant"`
}

// LabPhase is where a run of a lab is in its life.
type LabPhase string

// The phases of a run.
const (
	LabRunning  LabPhase = "running"
	LabPaused   LabPhase = "paused"
	LabDone     LabPhase = "done"
	LabFailed   LabPhase = "failed"   // an invariant is broken; a reset begins anew
	LabClearing LabPhase = "clearing" // what it made is being deleted; then the run goes
)

// LabRun is one person's way through a lab. It is also their grade.
type LabRun struct {
	Lab           string        `json:"lab"`
	Title         string        `json:"title"`
	User          string        `json:"user"`
	Project       string        `json:"project" doc:"made for the lab"`
	Language      string        `json:"language"`
	Phase         LabPhase      `json:"phase" enum:"running,paused,done,failed,clearing"`
	Reason        string        `json:"reason,omitempty" doc:"why it failed, or what is in the way"`
	StartedAt     time.Time     `json:"startedAt"`
	EndedAt       *time.Time    `json:"endedAt,omitempty"`
	ActiveSeconds int64         `json:"activeSeconds" doc:"from start to end, pauses left out"`
	Done          int           `json:"done" doc:"tasks that are done"`
	Total         int           `json:"total" doc:"tasks there are"`
	Tasks         []LabProgress `json:"tasks"`
}

// LabTaskState is where a task is.
type LabTaskState string

// The states of a task.
const (
	TaskWaiting LabTaskState = "waiting" // for other tasks
	TaskOpen    LabTaskState = "open"
	TaskDone    LabTaskState = "done"
)

// LabProgress is how a task goes.
type LabProgress struct {
	Task          string            `json:"task"`
	State         LabTaskState      `json:"state" enum:"waiting,open,done"`
	Message       string            `json:"message,omitempty" doc:"what the last check found missing"`
	DoneAt        *time.Time        `json:"doneAt,omitempty"`
	ActiveSeconds int64             `json:"activeSeconds,omitempty" doc:"of the run, when it was done"`
	Checks        int               `json:"checks" doc:"that were made"`
	Hints         int               `json:"hints" doc:"that were asked for"`
	Solved        bool              `json:"solved,omitempty" doc:"the solution was shown"`
	Outputs       map[string]string `json:"outputs,omitempty" doc:"what its check found, for later ones"`
}

// LabCheck asks for a check of all open tasks, or of one.
type LabCheck struct {
	Task    string      `json:"task,omitempty" doc:"only this one, even if it is not its turn; then it is not noted"`
	Answer  string      `json:"answer,omitempty" doc:"to the question that the task is: a decimal number"`
	Reports []LabReport `json:"reports,omitempty" maxItems:"100" doc:"what commands came to that an earlier answer asked for"`
}

// LabReport is what a command of a check came to on the student's laptop.
type LabReport struct {
	ID     string `json:"id" doc:"of the command"`
	Exit   int    `json:"exit"`
	Output string `json:"output" maxLength:"65536"`
}

// LabCommand is to be run on the student's laptop before a check can go on.
type LabCommand struct {
	ID             string            `json:"id"`
	Shell          string            `json:"shell" doc:"line for sh"`
	Env            map[string]string `json:"env" doc:"LAB_NAME for what earlier checks found"`
	TimeoutSeconds int               `json:"timeoutSeconds"`
	Retries        int               `json:"retries" doc:"tries after one that does not end with status 0"`
}

// LabChecked is what a check came to.
type LabChecked struct {
	Run      LabRun       `json:"run"`
	Results  []LabResult  `json:"results" doc:"of the tasks that were looked at"`
	Commands []LabCommand `json:"commands" doc:"to be run; then the check is to be asked for again with their reports"`
}

// LabResult is what was found about a task.
type LabResult struct {
	Task    string `json:"task"`
	OK      bool   `json:"ok"`
	Message string `json:"message,omitempty" doc:"what is missing, from what is there"`
}

// LabHint helps with a task.
type LabHint struct {
	Task    string `json:"task"`
	Message string `json:"message,omitempty" doc:"what the last check found missing"`
	Hint    string `json:"hint,omitempty" doc:"what to do"`
}

// LabSolution is how a task can be done.
type LabSolution struct {
	Task   string            `json:"task"`
	Shell  string            `json:"shell,omitempty" doc:"script for sh on the student's laptop"`
	Env    map[string]string `json:"env,omitempty" doc:"LAB_NAME for what earlier checks found"`
	Answer string            `json:"answer,omitempty" doc:"to the question"`
}

// LabChange is a verb that moves a run.
type LabChange string

// The changes of a run.
const (
	LabPause  LabChange = "pause"  // its time stands, its machines are stopped
	LabResume LabChange = "resume" // it goes on, with the machines that the pause stopped
	LabReset  LabChange = "reset"  // all it made goes, its project and the run too
)

// Labs are the labs of the cloud. A lab has one run a person; who works with one needs a token that is not limited to a project,
// as a lab has a project of its own. language "" is English where there is such a text.
type Labs interface {
	// List answers all labs by name, with the caller's runs, and without texts.
	List(ctx context.Context, language string) (List[Lab], error)
	// Get answers one with its texts. NotFound: no such lab; Invalid: not in that language.
	Get(ctx context.Context, name, language string) (Lab, error)
	// Runs answers the runs of everybody whom the caller may see, by lab and user.
	Runs(ctx context.Context) (List[LabRun], error)
	// Start begins a run and makes its project. NotFound; Conflict: it is under way; Unsupported: it needs a real engine.
	Start(ctx context.Context, name, language string) (Lab, error)
	// Check looks at open tasks and notes what is done. NotFound: the lab, the task; Conflict: it does not run; Invalid: an answer that is no number.
	Check(ctx context.Context, name string, check LabCheck) (LabChecked, error)
	// Hint helps with a task; "": the first open one. It is noted. NotFound; Conflict: it does not run, or nothing is open.
	Hint(ctx context.Context, name, task string) (LabHint, error)
	// Solve shows how a task is done; "": the first open one. It is noted. As Hint.
	Solve(ctx context.Context, name, task string) (LabSolution, error)
	// Change pauses, resumes or resets a run; a reset answers before all is gone: then there is no run any more.
	// NotFound; Conflict: not in this phase; Invalid: no such change.
	Change(ctx context.Context, name string, change LabChange) (LabRun, error)
}
