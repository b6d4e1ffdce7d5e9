// Package sandbox is the half of a function sandbox that runs in the container, as PID 1: it starts the language
// runtime as a user of its own, serves it the AWS Lambda Runtime API 2018-06-01 on loopback, and takes its orders from
// the control plane over a Unix socket (package wire). Between calls it stops every process but itself.
//
// It is set up by environment variables of PID 1, which the function never sees: NUAGE_SANDBOX_SOCKET is the path to
// listen on, NUAGE_SANDBOX_UID the user of the function, NUAGE_SANDBOX_PROCESSES how many processes that may have. The command after "--" is started at once and waits for its
// binding as one line of JSON on file descriptor 3; without a command the binding names one, which is started then.
// NUAGE_SANDBOX_REACH, set wherever there is a network, is what may be reached there (see guest.Enclose), by commas.
// NUAGE_SANDBOX_ENV_NAME=VALUE is the variable NAME of a command started at once; NUAGE_SANDBOX_API, for tests without a
// container, is another address for the Runtime API.
package sandbox

// APIAddress is where the function finds the Runtime API.
const APIAddress = "127.0.0.1:9001"
