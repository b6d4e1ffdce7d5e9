package api

import (
	"context"
	"time"
)

// Advisory says that versions of a package are vulnerable. The feed is the project's own: the packages are made up, harmless, and there to be
// planted.
type Advisory struct {
	ID       string `json:"id"`
	Package  string `json:"package"`
	Affected string `json:"affected" doc:"the vulnerable version"`
	Fixed    string `json:"fixed" doc:"the version that is not"`
	Severity string `json:"severity" enum:"low,medium,high,critical"`
	Title    string `json:"title"`
	File     string `json:"file" doc:"where the package is: a file with its version"`
}

// States of a finding.
const (
	Vulnerable = "vulnerable" // the vulnerable version is in it
	Patched    = "patched"    // it was planted there, and is not any more
)

// Finding is a vulnerable package that was planted in a resource, and what became of it.
type Finding struct {
	Advisory  string     `json:"advisory"`
	Noun      string     `json:"noun" enum:"instance,app,database"`
	Resource  string     `json:"resource"`
	Model     string     `json:"model" enum:"iaas,paas"`
	State     string     `json:"state" enum:"vulnerable,patched"`
	Reason    string     `json:"reason" doc:"who has to act, or what was done"`
	By        ActorKind  `json:"by,omitempty" enum:"customer,platform" doc:"who patched it"`
	PlantedAt time.Time  `json:"plantedAt"`
	PatchedAt *time.Time `json:"patchedAt,omitempty" doc:"when it was seen to be gone"`
}

// Planting says where a vulnerable package is to be put.
type Planting struct {
	Advisory string   `json:"advisory"`
	Subjects []string `json:"subjects" minItems:"1" maxItems:"50" doc:"instances, apps and databases, also as app/web"`
}

// Advisories are the feed of vulnerabilities, and what was found of them.
type Advisories interface {
	// Feed answers all advisories.
	Feed(ctx context.Context) (List[Advisory], error)
	// Findings looks into what was planted in a project, oldest first.
	Findings(ctx context.Context, project string) (List[Finding], error)
	// Plant puts the vulnerable package of an advisory into running containers. What the platform manages it patches by itself, in
	// a moment; an instance is its owner's. NotFound: an advisory or subject; Conflict: it does not run; Unsupported: the engine runs nothing.
	Plant(ctx context.Context, project string, p Planting) (List[Finding], error)
}
