package main

import (
	"context"

	"nuage/api"
)

func serve(context.Context, serveConfig) error {
	return api.Errorf(api.Unavailable, "cannot serve: this build has no cloud in it")
}

func wipe(context.Context, string, string) error {
	return api.Errorf(api.Unavailable, "cannot reset: this build has no cloud in it")
}
