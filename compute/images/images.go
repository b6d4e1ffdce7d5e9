// Package images holds the recipes of the base images and the script that sees to an
// engine on a bare Debian or Ubuntu, embedded so that the binary can do it without the
// source tree. It talks to the engine through the docker command only.
package images

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

//go:embed setup.sh base debian-12 mariadb nginx nodejs python postgres redis tiny
var files embed.FS

// BaseRef is the image that every recipe is built on.
const BaseRef = "debian:bookworm-slim"

// LocalPrefix begins the reference of every image made here. No registry has these names,
// so an engine must never pull one: whoever took the name there would run as ours.
const LocalPrefix = "nuage/"

// What an image needs to come to be.
const (
	NeedsPackages = "debian packages" // a reachable Debian mirror
	NeedsRegistry = "image registry"  // a reachable image registry
)

// Image is one entry of the catalog.
type Image struct {
	Name    string   // what a user types, as debian-12
	Ref     string   // the engine's reference, as nuage/debian-12:1
	Purpose string   // one line for a listing
	Needs   []string // NeedsPackages or NeedsRegistry
	recipe  string   // folder of the recipe; empty for an image that only a registry has
}

// Made reports whether Setup makes the image here, so that it is never to be pulled.
func (i Image) Made() bool { return i.recipe != "" }

// RecipeHash is the hex SHA-256 of the recipe, which an up-to-date image carries in the
// label nuage.recipe. It is empty for an image that only a registry has.
func (i Image) RecipeHash() string {
	if !i.Made() {
		return ""
	}
	return recipeHash(i.recipe)
}

// Catalog lists the images a user can name, those made here first.
func Catalog() []Image {
	packages, registry := []string{NeedsPackages}, []string{NeedsRegistry}
	return []Image{
		{"debian-12", "nuage/debian-12:1", "instances: a lean Debian 12 with apt, curl, ip and ping", packages, "debian-12"},
		{"tiny", "nuage/tiny:1", "instances: busybox alone, needs no network", packages, "tiny"},
		{"python", "nuage/python:1", "apps and functions: Python 3.11 with pip, venv and psycopg2", packages, "python"},
		{"postgres-15", "nuage/postgres:15", "databases: PostgreSQL 15", packages, "postgres"},
		{"ubuntu-24.04", "ubuntu:24.04", "instances: Ubuntu 24.04, from an image registry", registry, ""},
		{"alpine", "alpine:3.21", "instances: Alpine Linux 3.21, from an image registry", registry, ""},
	}
}

// OnFirstUse lists the images that are not made with the others, but by Setup with their name as the part. A user cannot name them.
func OnFirstUse() []Image {
	packages := []string{NeedsPackages}
	return []Image{
		{"nodejs", "nuage/nodejs:1", "apps and functions: Node.js 18", packages, "nodejs"},
		{"mariadb", "nuage/mariadb:10.11", "databases: MariaDB 10.11", packages, "mariadb"},
		{"redis", "nuage/redis:7.0", "databases: Redis 7.0", packages, "redis"},
		{"nginx", "nuage/nginx:1", "make bench: the proxy that the edge is measured against", packages, "nginx"},
	}
}

// Lookup finds an image of the catalog by its name.
func Lookup(name string) (Image, bool) {
	all := Catalog()
	i := slices.IndexFunc(all, func(i Image) bool { return i.Name == name })
	if i < 0 {
		return Image{}, false
	}
	return all[i], true
}

// Names lists the names of the catalog, for messages.
func Names() []string {
	var names []string
	for _, i := range Catalog() {
		names = append(names, i.Name)
	}
	return names
}

// recipeHash hashes lines "HASH  PATH" of every file of the base and of folder recipe,
// sorted by path: the same sum that setup.sh makes with find and sha256sum.
func recipeHash(recipe string) string {
	var paths []string
	for _, dir := range []string{"base", recipe} {
		paths = append(paths, under(dir)...)
	}
	slices.Sort(paths)
	var lines strings.Builder
	for _, path := range slices.Compact(paths) {
		content, _ := files.ReadFile(path) // under has just listed it
		fmt.Fprintf(&lines, "%x  %s\n", sha256.Sum256(content), path)
	}
	sum := sha256.Sum256([]byte(lines.String()))
	return hex.EncodeToString(sum[:])
}

// under lists the embedded files below dir.
func under(dir string) []string {
	var paths []string
	_ = fs.WalkDir(files, dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			paths = append(paths, path)
		}
		return err
	})
	return paths
}
