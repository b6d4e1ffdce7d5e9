// Package guest is PID 1 of an instance: it makes a machine of any Docker image. See DESIGN.md for what it trusts.
// It runs on Linux only; package link, its control channel, runs anywhere.
package guest
