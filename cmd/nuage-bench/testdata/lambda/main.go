// A function in Go for sandboxes, with the client that AWS has.
package main

import "github.com/aws/aws-lambda-go/lambda"

type event struct{ Name string }

func main() {
	lambda.Start(func(e event) (map[string]string, error) {
		return map[string]string{"greeting": "Hello, " + e.Name + "!"}, nil
	})
}
