package events

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"nuage/api"
)

func TestFilter(t *testing.T) {
	attributes := map[string]string{"color": "red", "size": "5", "new": "true"}
	for _, c := range []struct {
		policy string
		want   string // yes, no or what is wrong
	}{
		{`{}`, "yes"},
		{`{"color":["red"]}`, "yes"},
		{`{"color":["blue","red"]}`, "yes"},
		{`{"color":["blue"]}`, "no"},
		{`{"color":["red"],"size":[6]}`, "no"},
		{`{"color":["red"],"size":[5.0]}`, "yes"},
		{`{"new":[true]}`, "yes"},
		{`{"color":[{"prefix":"re"}]}`, "yes"},
		{`{"color":[{"suffix":"x"},{"suffix":"d"}]}`, "yes"},
		{`{"color":[{"equals-ignore-case":"RED"}]}`, "yes"},
		{`{"color":[{"anything-but":["blue","green"]}]}`, "yes"},
		{`{"color":[{"anything-but":{"prefix":"r"}}]}`, "no"},
		{`{"gone":[{"anything-but":["x"]}]}`, "no"},
		{`{"size":[{"numeric":[">",4,"<=",5]}]}`, "yes"},
		{`{"size":[{"numeric":[">",5]}]}`, "no"},
		{`{"color":[{"numeric":["=",0]}]}`, "no"},
		{`{"gone":[{"exists":false}]}`, "yes"},
		{`{"gone":[{"exists":true}]}`, "no"},
		{`{"color":"red"}`, `cannot use the filter: the conditions of "color" are no list`},
		{`{"color":[{"regex":"r"}]}`, `cannot use the filter: the condition "regex" is none, or not with r`},
		{`{"size":[{"numeric":["~",5]}]}`, `cannot use the filter: ~ 5 is no comparison: =, <, <=, > and >= with a number are`},
		{`{"a":[1],"b":[1],"c":[1],"d":[1],"e":[1],"f":[1]}`, "cannot use the filter: 5 attributes with 150 conditions in all are the most"},
	} {
		var policy map[string]any
		if err := json.Unmarshal([]byte(c.policy), &policy); err != nil {
			t.Fatal(err)
		}
		f, err := ParseFilter(policy)
		got := map[bool]string{true: "yes", false: "no"}[f.Matches(attributes)]
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.policy, got, c.want)
		}
	}
}

func FuzzFilter(f *testing.F) {
	f.Add(`{"color":["red",{"prefix":"b"},{"numeric":[">",1]},{"anything-but":["x",{"suffix":"y"}]},{"exists":false}]}`, "red")
	f.Fuzz(func(t *testing.T, text, value string) {
		var policy map[string]any
		if json.Unmarshal([]byte(text), &policy) != nil {
			return
		}
		if filter, err := ParseFilter(policy); err == nil {
			filter.Matches(map[string]string{"color": value})
			filter.Matches(nil)
		}
	})
}

func TestSchedule(t *testing.T) {
	last := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		text string
		now  time.Duration // since last
		want string        // next tick, the one due, and whether one was missed; or what is wrong
	}{
		{"*/5 * * * *", time.Minute, "12:05 none"},
		{"*/5 * * * *", 5 * time.Minute, "12:05 12:05"},
		{"*/5 * * * *", 16 * time.Minute, "12:05 12:15 missed"},
		{"rate(10 minutes)", 9 * time.Minute, "12:10 none"},
		{"rate(10 minutes)", 25 * time.Minute, "12:10 12:20 missed"},
		{"rate(1 hour)", time.Hour, "13:00 13:00"},
		{"0 0 30 2 *", 0, `cannot use the schedule "0 0 30 2 *": there is no such day`},
		{"* * * * * *", 0, `cannot read the schedule "* * * * * *": give five fields of cron, as "*/5 9-17 * * MON-FRI", or rate(5 minutes)`},
		{"@daily", 0, `cannot read the schedule "@daily": give five fields of cron, as "*/5 9-17 * * MON-FRI", or rate(5 minutes)`},
		{"rate(0 minutes)", 0, `cannot read the schedule "rate(0 minutes)": give five fields of cron, as "*/5 9-17 * * MON-FRI", or rate(5 minutes)`},
	} {
		got := ""
		if s, err := ParseSchedule(c.text); err != nil {
			got = err.Error()
		} else {
			next, _ := s.Next(last)
			got = next.Format("15:04") + " none"
			if tick, missed, ok := s.Due(last, last.Add(c.now)); ok {
				got = next.Format("15:04") + " " + tick.Format("15:04") + map[bool]string{true: " missed"}[missed]
			}
		}
		if got != c.want {
			t.Errorf("%s after %s: %s, want %s", c.text, c.now, got, c.want)
		}
	}
}

func FuzzSchedule(f *testing.F) {
	f.Add("*/5 9-17 * * MON-FRI")
	f.Add("0 0 29 2 *")
	f.Add("rate(5 minutes)")
	f.Add("0 0 L * 5#2")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSchedule(text)
		if err != nil {
			return
		}
		last := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
		if next, ok := s.Next(last); ok && !next.After(last) {
			t.Errorf("%q: the tick after %s is %s", text, last, next)
		}
		now := last.AddDate(0, 2, 0)
		if tick, _, ok := s.Due(last, now); ok && (!tick.After(last) || tick.After(now)) {
			t.Errorf("%q: the tick due is %s", text, tick)
		}
	})
}

func TestBatchFailures(t *testing.T) {
	for answer, want := range map[string]string{
		"": "", "null": "", `"text"`: "", "hello": "", "{}": "", `{"batchItemFailures":null}`: "", `{"batchItemFailures":[]}`: "",
		`{"batchItemFailures":[{"itemIdentifier":"b"},{"itemIdentifier":"b"}]}`: "b",
		`{"batchItemFailures":[{"itemIdentifier":"x"}]}`:                        "a b",
		`{"batchItemFailures":[{}]}`:                                            "a b",
		`{"batchItemFailures":"all"}`:                                           "a b",
	} {
		if got := strings.Join(BatchFailures([]byte(answer), []string{"a", "b"}), " "); got != want {
			t.Errorf("%s: %q, want %q", answer, got, want)
		}
	}
}

func FuzzBatchFailures(f *testing.F) {
	f.Add([]byte(`{"batchItemFailures":[{"itemIdentifier":"a"}]}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		if failed := BatchFailures(answer, []string{"a", "b"}); len(failed) > 2 {
			t.Errorf("%q of two messages failed", failed)
		}
	})
}

func TestDestination(t *testing.T) {
	r := Result{At: time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC), RequestID: "r1", Function: "f", Version: 2, Condition: RetriesExhausted, Attempts: 3,
		Payload: []byte(`{"a":1}`), Answer: []byte("no JSON"), Failed: true}
	want := `{"version":"1.0","timestamp":"2026-01-02T03:04:05.006Z","requestContext":{"requestId":"r1","functionArn":"arn:aws:lambda:local:000000000000:function:f","condition":"RetriesExhausted","approximateInvokeCount":3},` +
		`"requestPayload":{"a":1},"responseContext":{"statusCode":200,"executedVersion":"2","functionError":"Unhandled"},"responsePayload":"no JSON"}`
	if got := string(Destination(r)); got != want {
		t.Errorf("the record is\n%s, want\n%s", got, want)
	}
}

func TestBatch(t *testing.T) {
	at := time.UnixMilli(1767323045123).UTC()
	m := api.Message{ID: "m1", Body: "hello", Attributes: map[string]string{"kind": "x"}, SentAt: at, FirstReceivedAt: &at, Receives: 2, ReceiptHandle: "h"}
	want := `{"Records":[{"messageId":"m1","receiptHandle":"h","body":"hello","attributes":{"ApproximateFirstReceiveTimestamp":"1767323045123","ApproximateReceiveCount":"2","SenderId":"000000000000","SentTimestamp":"1767323045123"},` +
		`"messageAttributes":{"kind":{"stringValue":"x","stringListValues":[],"binaryListValues":[],"dataType":"String"}},"md5OfBody":"5d41402abc4b2a76b9719d911017c592","eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:local:000000000000:q","awsRegion":"local"}]}`
	if got := string(Batch("q", []api.Message{m})); got != want {
		t.Errorf("the event is\n%s, want\n%s", got, want)
	}
}

func TestPatterns(t *testing.T) {
	for pattern, want := range map[string]bool{"app.deployed": true, "app.*": true, "*": true, "app": false, "app.eaten": false, "ap*": false} {
		if err := CheckPattern(pattern); (err == nil) != want {
			t.Errorf("%s: %v", pattern, err)
		}
	}
	if !MatchesType([]string{"x", "app.*"}, "nuage.app.deployed") || MatchesType([]string{"database.*"}, "nuage.app.deployed") {
		t.Error("patterns match other types")
	}
}
