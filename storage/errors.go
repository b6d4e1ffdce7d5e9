package storage

import (
	"errors"
	"fmt"
	"syscall"

	"nuage/api"
)

type stop string

func (s stop) Error() string { return string(s) }

// Stop, returned by the function given to an Each, ends the walk without an error.
const Stop = stop("stop walking")

// unavailable makes the error of a failing disk or file: what could not be done, why, and what to do about it.
func unavailable(cause error, format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	return api.Errorf(api.Unavailable, "%s: %w%s", what, cause, remedy(cause))
}

// unlessCoded is unavailable for errors of the system, and leaves alone those that carry a code already.
func unlessCoded(err error, format string, args ...any) error {
	var coded *api.Error
	if errors.As(err, &coded) {
		return err
	}
	return unavailable(err, format, args...)
}

func remedy(cause error) string {
	switch {
	case errors.Is(cause, syscall.ENOSPC), errors.Is(cause, syscall.EDQUOT), errors.Is(cause, syscall.EFBIG):
		return "; nothing was changed; free some disk space and try again"
	case errors.Is(cause, syscall.EACCES), errors.Is(cause, syscall.EPERM):
		return "; check the owner and the permissions of the file and its folder"
	case errors.Is(cause, syscall.ENOENT):
		return "; create the folder first"
	case errors.Is(cause, syscall.EROFS):
		return "; the file system is read-only, choose another home"
	default:
		return ""
	}
}

func errClosed(path string) error {
	return api.Errorf(api.Unavailable, "cannot use %q: the store is closed", path)
}
