// Package apitest is the conformance suite of api.Cloud: what the comments of package api promise, checked from
// outside. It runs over whatever is behind: the control plane itself, or the HTTP face and the client.
package apitest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"testing"
	"time"

	"nuage/api"
)

// Fixture is a cloud to check. It may hold other things already; the suite works in projects of its own.
type Fixture struct {
	// Cloud is asked with Context.
	Cloud api.Cloud
	// Context is one in which Cloud acts as a customer who may do all, nil where Cloud knows that by itself.
	Context context.Context
	// Login returns a cloud and a context that act for the holder of a token's secret. nil: Cloud itself, with the
	// actor that Authenticate answers.
	Login func(t *testing.T, secret string) (api.Cloud, context.Context)
	// Patience is how long one thing may take to come up or go; 0: 30 s.
	Patience time.Duration
	// Image is of a program that serves HTTP on PORT; "": one that a simulator takes for such.
	Image string
	// Guests says that workloads really run. Where not, as in the simulator, Exec and Logs are Unsupported, and the
	// credentials of a database a Conflict.
	Guests bool
}

// Run checks the cloud that open returns. open is called once.
func Run(t *testing.T, open func(*testing.T) Fixture) {
	s := &suite{Fixture: open(t)}
	if s.Context == nil {
		s.Context = context.Background()
	}
	if s.Patience == 0 {
		s.Patience = 30 * time.Second
	}
	if s.Image == "" {
		s.Image = "nuage/web:1"
	}
	if s.Login == nil {
		s.Login = s.authenticated
	}
	t.Run("Projects", s.projects)
	t.Run("Users", s.users)
	t.Run("Tokens", s.tokens)
	t.Run("Keys", func(t *testing.T) { conform(t, s, keys()) })
	t.Run("SecurityGroups", func(t *testing.T) { conform(t, s, securityGroups()) })
	t.Run("Networks", func(t *testing.T) { conform(t, s, networks()) })
	t.Run("Images", func(t *testing.T) { conform(t, s, images()) })
	t.Run("Volumes", func(t *testing.T) { conform(t, s, volumes()) })
	t.Run("Snapshots", func(t *testing.T) { conform(t, s, snapshots()) })
	t.Run("Instances", func(t *testing.T) { conform(t, s, instances()) })
	t.Run("LoadBalancers", func(t *testing.T) { conform(t, s, loadBalancers()) })
	t.Run("InstanceGroups", func(t *testing.T) { conform(t, s, instanceGroups()) })
	t.Run("Apps", func(t *testing.T) { conform(t, s, apps(s.Image)) })
	t.Run("Databases", func(t *testing.T) { conform(t, s, databases()) })
	t.Run("Backups", func(t *testing.T) { conform(t, s, backups()) })
	t.Run("AuthPools", func(t *testing.T) { conform(t, s, authPools()) })
	t.Run("PoolUsers", s.poolUsers)
	t.Run("Functions", func(t *testing.T) { conform(t, s, functions()) })
	t.Run("Triggers", func(t *testing.T) { conform(t, s, triggers()) })
	t.Run("Queues", func(t *testing.T) { conform(t, s, queues()) })
	t.Run("Messages", s.messages)
	t.Run("AsyncCalls", s.asyncCalls)
	t.Run("Topics", func(t *testing.T) { conform(t, s, topics()) })
	t.Run("Publish", s.publish)
	t.Run("Budgets", func(t *testing.T) { conform(t, s, budgets()) })
	t.Run("Spending", s.spending)
	t.Run("Power", s.power)
	t.Run("Placement", s.placement)
	t.Run("Attachments", s.attachments)
	t.Run("Copies", s.copies)
	t.Run("Catalog", s.catalog)
	t.Run("Reclaim", s.reclaim)
	t.Run("InstanceMetrics", s.instanceMetrics)
	t.Run("Quotas", s.quotas)
	t.Run("Balancing", s.balancing)
	t.Run("Members", s.members)
	t.Run("Releases", s.releases)
	t.Run("Credentials", s.credentials)
	t.Run("Sources", s.sources)
	t.Run("Invocations", s.invocations)
	t.Run("Streams", s.streams)
	t.Run("Ledger", s.ledger)
	t.Run("Clock", s.clock)
	t.Run("Activities", s.activities)
	t.Run("Comparisons", s.comparisons)
	t.Run("Labs", s.labs)
	t.Run("System", s.system)
}

// suite is a fixture with its defaults.
type suite struct {
	Fixture
	ranges map[string]string // of networks, by project/name
}

func (s *suite) authenticated(t *testing.T, secret string) (api.Cloud, context.Context) {
	t.Helper()
	actor, err := s.Cloud.Tokens.Authenticate(s.Context, secret)
	if err != nil {
		t.Fatalf("cannot log in: %v", err)
	}
	return s.Cloud, api.WithActor(s.Context, actor)
}

// fresh is a name that the cloud does not have yet.
func fresh(prefix string) string { return fmt.Sprintf("%s-%08x", prefix, rand.Uint32()) }

// project makes a project that goes with the test, where the test has emptied it.
func (s *suite) project(t *testing.T) string {
	t.Helper()
	name := fresh("p")
	if _, err := s.Cloud.Projects.Create(s.Context, name, api.ProjectSpec{Description: "of " + t.Name()}); err != nil {
		t.Fatalf("create project: %v", err)
	}
	t.Cleanup(func() {
		err := s.Cloud.Projects.Delete(s.Context, name)
		if err != nil && !errors.Is(err, api.NotFound) {
			t.Errorf("delete project %s: %v", name, err)
		}
	})
	return name
}

// limited returns the cloud as the holder of a token limited to project sees it.
func (s *suite) limited(t *testing.T, project string) (api.Cloud, context.Context) {
	t.Helper()
	name := fresh("t")
	token, err := s.Cloud.Tokens.Create(s.Context, name, api.TokenSpec{Project: project})
	if err != nil {
		t.Fatalf("create token: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Cloud.Tokens.Revoke(s.Context, name); err != nil {
			t.Errorf("revoke token: %v", err)
		}
	})
	return s.Login(t, token.Secret)
}

// wants fails the test unless err carries code; "" wants no error.
func wants(t *testing.T, what string, err error, code api.Code) {
	t.Helper()
	if got := api.CodeOf(err); got != code {
		t.Errorf("%s: got code %q (%v), want %q", what, got, err, code)
		return
	}
	if err != nil && !errors.Is(err, code) {
		t.Errorf("%s: errors.Is(err, %q) does not hold for %v", what, code, err)
	}
	if err != nil && err.Error() == "" {
		t.Errorf("%s: the error has no message", what)
	}
}

// must ends the test on an error.
func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

var id = regexp.MustCompile(`^[a-z]+-[0-9a-f]{16}$`)

// checkMeta checks what the cloud adds to a new noun.
func checkMeta(t *testing.T, m api.Meta, project, name string) {
	t.Helper()
	if m.Name != name || m.Project != project || m.Generation != 1 || m.DeletedAt != nil {
		t.Errorf("a new noun has the Meta %+v, want name %q, project %q, generation 1 and no deletion", m, name, project)
	}
	if !id.MatchString(m.ID) {
		t.Errorf("id %q is no prefix with 16 hex digits", m.ID)
	}
	if m.CreatedAt.IsZero() || m.CreatedAt.Location() != time.UTC {
		t.Errorf("createdAt is %v, want a time in UTC", m.CreatedAt)
	}
}
