// Command lambda is a function on the unmodified AWS runtime client for Go.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type event struct {
	Do string `json:"do"`
}

func handle(ctx context.Context, e event) (map[string]string, error) {
	switch e.Do {
	case "fail":
		return nil, errors.New("no such thing")
	case "panic":
		panic("at the disco")
	case "hang":
		fmt.Println("hanging")
		time.Sleep(time.Minute)
	}
	lc, _ := lambdacontext.FromContext(ctx)
	fmt.Println("printed")
	return map[string]string{"id": lc.AwsRequestID, "arn": lc.InvokedFunctionArn, "greeting": os.Getenv("GREETING")}, nil
}

func main() { lambda.Start(handle) }
