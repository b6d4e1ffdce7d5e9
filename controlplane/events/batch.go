package events

import (
	"crypto/md5" //nolint:gosec // SQS's own check sum, which consumers compare; it secures nothing
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strconv"

	"nuage/api"
)

// sqsEvent is the event of a batch of messages, in the form that Amazon SQS gives functions.
type sqsEvent struct {
	Records []sqsRecord `json:"Records"`
}

type sqsRecord struct {
	MessageID         string                  `json:"messageId"`
	ReceiptHandle     string                  `json:"receiptHandle"`
	Body              string                  `json:"body"`
	Attributes        map[string]string       `json:"attributes"`
	MessageAttributes map[string]sqsAttribute `json:"messageAttributes"`
	MD5OfBody         string                  `json:"md5OfBody"`
	EventSource       string                  `json:"eventSource"`
	EventSourceARN    string                  `json:"eventSourceARN"`
	Region            string                  `json:"awsRegion"`
}

type sqsAttribute struct {
	StringValue      string   `json:"stringValue"`
	StringListValues []string `json:"stringListValues"`
	BinaryListValues []string `json:"binaryListValues"`
	DataType         string   `json:"dataType"`
}

// Batch is the event that hands messages of a queue to a function.
func Batch(queue string, messages []api.Message) []byte {
	e := sqsEvent{Records: make([]sqsRecord, 0, len(messages))}
	for _, m := range messages {
		e.Records = append(e.Records, newRecord(queue, m))
	}
	return encode(e)
}

func newRecord(queue string, m api.Message) sqsRecord {
	sum := md5.Sum([]byte(m.Body)) //nolint:gosec // see the import
	r := sqsRecord{MessageID: m.ID, ReceiptHandle: m.ReceiptHandle, Body: m.Body, MD5OfBody: hex.EncodeToString(sum[:]),
		EventSource: "aws:sqs", EventSourceARN: QueueARN(queue), Region: region, MessageAttributes: map[string]sqsAttribute{},
		Attributes: map[string]string{"ApproximateReceiveCount": strconv.Itoa(m.Receives), "SenderId": account,
			"SentTimestamp": strconv.FormatInt(millis(m.SentAt), 10)}}
	if m.FirstReceivedAt != nil {
		r.Attributes["ApproximateFirstReceiveTimestamp"] = strconv.FormatInt(millis(*m.FirstReceivedAt), 10)
	}
	for name, value := range m.Attributes {
		r.MessageAttributes[name] = sqsAttribute{StringValue: value, StringListValues: []string{}, BinaryListValues: []string{}, DataType: "String"}
	}
	return r
}

// BatchSize is how many bytes messages take in a batch's event at most, their envelope included.
func BatchSize(m api.Message) int { return len(encode(newRecord("", m))) + 256 }

// BatchFailures reads from a function's answer which messages of a batch it has not dealt with, by their ids: those it names
// in batchItemFailures. An answer that names an item without an id, or one that is not in the batch, means all, as on AWS
// Lambda; one that says nothing about failures means none.
func BatchFailures(answer []byte, ids []string) []string {
	var a struct {
		Failures []struct {
			ID *string `json:"itemIdentifier"`
		} `json:"batchItemFailures"`
	}
	var shape *json.UnmarshalTypeError
	if err := json.Unmarshal(answer, &a); errors.As(err, &shape) && namesFailures(answer) {
		return slices.Clone(ids)
	} else if err != nil {
		return nil
	}
	var failed []string
	for _, f := range a.Failures {
		if f.ID == nil || !slices.Contains(ids, *f.ID) {
			return slices.Clone(ids)
		}
		if !slices.Contains(failed, *f.ID) {
			failed = append(failed, *f.ID)
		}
	}
	return failed
}

// namesFailures tells that an answer has batchItemFailures, in whatever form.
func namesFailures(answer []byte) bool {
	var probe map[string]json.RawMessage
	return json.Unmarshal(answer, &probe) == nil && probe["batchItemFailures"] != nil
}
