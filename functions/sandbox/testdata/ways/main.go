// Command ways is a function on the unmodified AWS runtime client for Go that fails in every way it is told to.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type event struct {
	Do string `json:"do"`
}

var ticks atomic.Int64

func handle(ctx context.Context, e event) (any, error) {
	if do, ok := ways()[e.Do]; ok {
		return do(ctx)
	}
	return nil, fmt.Errorf("no way %q", e.Do)
}

func ways() map[string]func(context.Context) (any, error) {
	return map[string]func(context.Context) (any, error){
		"":        echo,
		"raise":   func(context.Context) (any, error) { return nil, errors.New("no such thing") },
		"panic":   func(context.Context) (any, error) { panic("at the disco") },
		"exit":    func(context.Context) (any, error) { os.Exit(3); return nil, nil },
		"hang":    func(context.Context) (any, error) { fmt.Println("hanging"); time.Sleep(time.Minute); return nil, nil },
		"bomb":    bomb,
		"memory":  memory,
		"threads": threads,
		"big":     func(context.Context) (any, error) { return strings.Repeat("x", 7_000_000), nil },
		"no json": func(context.Context) (any, error) {
			return io.MultiReader(strings.NewReader("{no "), strings.NewReader("JSON")), nil
		},
		"start": func(context.Context) (any, error) { go tick(); return ticks.Load(), nil },
		"count": func(context.Context) (any, error) { return ticks.Load(), nil },
	}
}

func echo(ctx context.Context) (any, error) {
	c, _ := lambdacontext.FromContext(ctx)
	end, bounded := ctx.Deadline()
	dir, err := os.Getwd()
	return []any{c.AwsRequestID, lambdacontext.FunctionName, lambdacontext.FunctionVersion, lambdacontext.MemoryLimitInMB, c.InvokedFunctionArn,
		bounded && time.Until(end) > 0, os.Getenv("_HANDLER"), dir}, err
}

// bomb starts processes until there can be no more.
func bomb(context.Context) (any, error) {
	for n := 0; ; n++ {
		if err := exec.Command("/bin/sleep", "60").Start(); err != nil {
			return n < 128, nil
		}
	}
}

// threads has goroutines that wait in system calls, each of which takes a thread.
func threads(context.Context) (any, error) {
	const most = 100
	var ends []int
	started := make(chan struct{}, most)
	for range most {
		var fds [2]int
		if err := syscall.Pipe(fds[:]); err != nil {
			return nil, err
		}
		ends = append(ends, fds[1])
		go func() {
			started <- struct{}{}
			syscall.Read(fds[0], make([]byte, 1))
			syscall.Close(fds[0])
		}()
	}
	for range most {
		<-started
	}
	time.Sleep(100 * time.Millisecond) // until they wait
	for _, fd := range ends {
		syscall.Close(fd)
	}
	return true, nil
}

func memory(context.Context) (any, error) {
	var all [][]byte
	for range 2 << 10 {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		all = append(all, b)
	}
	return len(all), nil
}

// tick prints and counts after the answer.
func tick() {
	for {
		time.Sleep(time.Millisecond)
		ticks.Add(1)
		fmt.Println("late")
	}
}

func main() { lambda.Start(handle) }
