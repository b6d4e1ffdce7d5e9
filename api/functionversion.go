package api

import (
	"context"
	"time"
)

// FunctionVersion is a published version of a function: code and settings that never change. Its number is the one that
// the deploy had, so receipts and logs speak of the same.
type FunctionVersion struct {
	Function    string       `json:"function"`
	Version     int          `json:"version"`
	Spec        FunctionSpec `json:"spec"`
	PublishedAt time.Time    `json:"publishedAt"`
	Aliases     []string     `json:"aliases" doc:"the aliases that lead to it"`
}

// FunctionAlias is a name for one published version, or for two that share the calls by weight.
type FunctionAlias struct {
	Name      string         `json:"name"`
	Function  string         `json:"function"`
	Versions  []VersionShare `json:"versions"`
	ChangedAt time.Time      `json:"changedAt"`
}

// VersionShare is one version's part of an alias's calls.
type VersionShare struct {
	Version int `json:"version" minimum:"1"`
	Percent int `json:"percent" minimum:"0" maximum:"100" doc:"each call is dealt by chance; together 100"`
}

// FunctionVersions publishes a function's versions and names them. All methods answer NotFound for an unknown function.
type FunctionVersions interface {
	// Publish makes what was deployed last a version; what is published already is answered as it is.
	// Conflict: the deploy failed, or is not done.
	Publish(ctx context.Context, project, function string) (FunctionVersion, error)
	// Versions answers the published ones, newest first.
	Versions(ctx context.Context, project, function string) (List[FunctionVersion], error)
	// Unpublish deletes a version. NotFound; Conflict: an alias leads to it, or a trigger calls it.
	Unpublish(ctx context.Context, project, function string, version int) error
	// Aliases answers them in name order.
	Aliases(ctx context.Context, project, function string) (List[FunctionAlias], error)
	// SetAlias makes an alias or lets it lead elsewhere, from the next call on. One share may leave its percent 0 and gets the rest.
	// Invalid: the name, not one or two versions, or not 100 percent. NotFound: a version is not published.
	SetAlias(ctx context.Context, project, function, alias string, versions []VersionShare) (FunctionAlias, error)
	// DeleteAlias. NotFound; Conflict: a trigger calls it.
	DeleteAlias(ctx context.Context, project, function, alias string) error
}
