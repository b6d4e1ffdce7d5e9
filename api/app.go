package api

import (
	"context"
	"io"
	"time"
)

// App is a program the platform runs: n replicas of a release behind the edge.
type App struct {
	Meta
	Spec   AppSpec   `json:"spec"`
	Status AppStatus `json:"status"`
}

// AppSpec is what a user asks of an app. A change of anything up to Restart makes a release.
type AppSpec struct {
	Image    string            `json:"image,omitempty" doc:"image reference; either this or source"`
	Source   string            `json:"source,omitempty" doc:"id of an uploaded source folder (src-...)"`
	Port     int               `json:"port,omitempty" minimum:"0" maximum:"65535" doc:"where the program listens; given to it as PORT; 8080 when 0"`
	Size     string            `json:"size,omitempty" enum:",nano,micro,small,medium,large" doc:"micro when empty"`
	Replicas *int              `json:"replicas,omitempty" minimum:"0" maximum:"50" doc:"1 when absent"`
	Health   string            `json:"health,omitempty" doc:"path that answers 2xx or 3xx when ready; empty: accepting TCP is enough"`
	Env      map[string]string `json:"env,omitempty"`
	Secrets  map[string]string `json:"secrets,omitempty" doc:"settings that are sealed at rest and never answered: each value reads ***, and *** keeps the value it has"`
	Database string            `json:"database,omitempty" doc:"name of a database in the project, given as DATABASE_URL"`
	Auth     AppAuth           `json:"auth,omitzero"`
	Restart  int64             `json:"restart,omitempty" doc:"grows with each restart asked for"`

	SecretsVersion int64 `json:"secretsVersion,omitempty" doc:"the cloud's number of this set of secrets; what is sent does not count"`

	DeadlineSeconds int  `json:"deadlineSeconds,omitempty" minimum:"0" maximum:"3600" doc:"how long a release may take from its start until all replicas are healthy; 90 when 0"`
	Canary          int  `json:"canary,omitempty" minimum:"0" maximum:"99" doc:"percent of the requests that the release made by this very change gets; the one before keeps the others. 0: it gets all. It is not kept: the status has the shares"`
	Sticky          bool `json:"sticky,omitempty" doc:"while requests are split, a client stays with the release that answered it first, by a cookie"`

	Limits  AppLimits   `json:"limits,omitzero" doc:"what the edge lets through"`
	Scaling *AppScaling `json:"scaling,omitempty" doc:"the cloud chooses the number of replicas; absent: it is replicas"`
}

// AppLimits are kept by the edge, for all clients of an app together.
type AppLimits struct {
	BodyBytes     int64 `json:"bodyBytes,omitempty" minimum:"0" doc:"most bytes of a request's body; 413 over it; 0: no limit"`
	RPS           int   `json:"rps,omitempty" minimum:"0" maximum:"1000000" doc:"most requests per second, with bursts of one second's; 429 over it; 0: no limit"`
	IdleSeconds   int   `json:"idleSeconds,omitempty" minimum:"0" maximum:"3600" doc:"how long a request's body, an answer or a WebSocket may rest without a byte either way; then 408, or where an answer has begun it is cut off; 0: no limit"`
	SocketSeconds int   `json:"socketSeconds,omitempty" minimum:"0" maximum:"30" doc:"how long the WebSockets of a replica that is to go may stay open, after a deploy, a rollback or a scaling in; then they are closed (1001, going away); 10 when 0. Requests have 30"`
	AnswerSeconds int   `json:"answerSeconds,omitempty" minimum:"0" maximum:"60" doc:"how long the app may take until its answer begins; then 504; 60 when 0"`
}

// AppScaling says between what, and by what, the number of an app's replicas follows its load.
type AppScaling struct {
	Min             int `json:"min" minimum:"0" maximum:"50" doc:"0: without requests it has no replica, and the first request waits for one"`
	Max             int `json:"max" minimum:"1" maximum:"50"`
	RPS             int `json:"rps,omitempty" minimum:"0" maximum:"1000000" doc:"target of requests per second for each replica, as the edge counts them over 30 s"`
	CPU             int `json:"cpu,omitempty" minimum:"0" maximum:"100" doc:"target of the replicas' mean use over a minute, in percent of their size; either this or rps. With neither, min replicas are kept, at least 1 while there are requests"`
	IdleSeconds     int `json:"idleSeconds,omitempty" minimum:"0" maximum:"86400" doc:"with min 0: it goes to zero after so long without a request; 300 when 0"`
	CooldownSeconds int `json:"cooldownSeconds,omitempty" minimum:"0" maximum:"3600" doc:"rest after a scaling; 60 when 0. Scaling in rests three times as long"`
}

// Masked stands for the value of a secret in every answer. Sent, it keeps the value that the secret has.
const Masked = "***"

// Share is one release's part of an app's requests.
type Share struct {
	Release int `json:"release" minimum:"1"`
	Percent int `json:"percent" minimum:"0" maximum:"100"`
}

// Split says how an app's requests are shared out from now on.
type Split struct {
	Shares []Share `json:"shares" minItems:"1" maxItems:"10" doc:"together 100 percent; a release that is not named, or has 0, ends its requests and goes"`
	Sticky *bool   `json:"sticky,omitempty" doc:"another setting of spec.sticky; as it was where absent"`
}

// AppStatus is how the app does.
type AppStatus struct {
	Status
	URL      string     `json:"url,omitempty"`
	Release  int        `json:"release" doc:"number of the release that serves, and that spec is of; 0: none yet"`
	Target   int        `json:"target,omitempty" doc:"number of the release being deployed"`
	Shares   []Share    `json:"shares,omitempty" doc:"how requests are split between releases, largest number first; absent: release gets all"`
	Replicas []Replica  `json:"replicas"`
	Failure  *Failure   `json:"failure,omitempty" doc:"why the last deploy failed"`
	Desired  int        `json:"desired,omitempty" doc:"replicas that scaling wants now"`
	ScaledAt *time.Time `json:"scaledAt,omitempty" doc:"when scaling changed that last"`
	Restarts int        `json:"restarts" doc:"times the platform brought a replica back"`
}

// Replica is one running copy.
type Replica struct {
	ID      string `json:"id"`
	Phase   Phase  `json:"phase"`
	Reason  string `json:"reason"`
	Release int    `json:"release"`
}

// Failure is why a deploy failed: one sentence and the last log lines.
type Failure struct {
	Release int       `json:"release"`
	Reason  string    `json:"reason"`
	Log     []string  `json:"log" doc:"last lines of the build's or the program's log"`
	At      time.Time `json:"at"`
}

// Release is an immutable numbered deploy of an app.
type Release struct {
	Number    int       `json:"number"`
	Image     string    `json:"image" doc:"id of the image, empty while it is being built"`
	Bytes     int64     `json:"bytes,omitempty" doc:"size of the image"`
	Built     string    `json:"built,omitempty" doc:"what the source was taken for, and by which file"`
	Spec      AppSpec   `json:"spec"`
	State     string    `json:"state" enum:"building,deploying,serving,superseded,failed"`
	Reason    string    `json:"reason"`
	CreatedAt time.Time `json:"createdAt"`
	By        string    `json:"by"`
	Share     int       `json:"share" doc:"percent of the app's requests that it gets now"`
	Promoted  string    `json:"promoted,omitempty" doc:"project and number of the release that its image was promoted from, as staging/3"`
}

// Promotion is what a promotion makes: an app of another project, and what the app it came from has beyond it.
type Promotion struct {
	App     App      `json:"app" doc:"the app in the other project"`
	Missing []string `json:"missing" doc:"what the app that was promoted has and this one does not, as: setting MODE, secret KEY, database orders, auth pool people; the program may need it"`
}

// Apps are a project's apps.
type Apps interface {
	Resource[App, AppSpec]
	// Releases answers newest first. NotFound.
	Releases(ctx context.Context, project, name string) (List[Release], error)
	// Rollback deploys the image and settings of an earlier release as a new one. to 0: the newest that served before this one.
	// NotFound: the app or the release. Conflict: nothing to go back to, or the release never served.
	// While requests are split, 0 is the release that gets most of them beside the newest.
	Rollback(ctx context.Context, project, name string, to int) (App, error)
	// Split shares requests out between releases that served once. Each has all of the app's replicas; where one has none yet requests go
	// on as before until they are healthy, and for good where they are not in time: then the failure names it. All to one release ends the split, and the app has that release's settings again.
	// Invalid: the shares are not 100 percent together, or name a release twice. NotFound: the app or a release.
	// Conflict: a release never served or its image is gone, or another one is being deployed.
	Split(ctx context.Context, project, name string, split Split) (App, error)
	// Promote releases the very image that serves as the app of that name in another project, which keeps its own settings, secrets,
	// database, auth pool and scale; port and health path come with the image. An app that is not there yet is made with defaults. Where
	// just that serves there already nothing changes. Invalid: the same project. NotFound: the app, or a project. Forbidden: the actor may
	// not act on both projects. Conflict: no release serves, or the other app is being deleted. Exhausted: as for Create.
	Promote(ctx context.Context, project, name, to string) (Promotion, error)
}

// Source is an uploaded folder (an app's source, a function's code), stored by content.
type Source struct {
	ID   string `json:"id" doc:"src- and the SHA-256 of the content"`
	Size int64  `json:"size" doc:"bytes"`
}

// MaxSourceBytes bounds an uploaded source.
const MaxSourceBytes = 256 << 20

// Sources takes folders as an uncompressed or gzip-compressed tar, and functions' single files in a tar too.
type Sources interface {
	// Put stores the tar. Invalid: no tar, over MaxSourceBytes, or a path that leaves the folder.
	Put(ctx context.Context, project string, content io.Reader) (Source, error)
}
