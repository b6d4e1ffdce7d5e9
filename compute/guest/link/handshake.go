package link

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"io"
)

// A host that attaches cannot know what the one before it left in the pipe. So it says hello: a mark, a nonce and a
// digest of both. The guest looks for a hello in all that comes in, whatever frame it seems to lie in, drops the session
// it had and answers with a digest of the nonce. The host throws away all it reads until that answer. The digests keep
// a file that happens to hold the mark (this program, for one) from looking like a hello.
const (
	mark     = "\x00nuage-link-1\r\n\x00"
	nonceLen = 16
	helloLen = len(mark) + nonceLen + sha256.Size
	replyLen = sha256.Size
)

func newHello() (hello, nonce []byte) {
	nonce = make([]byte, nonceLen)
	rand.Read(nonce)
	return appendDigest(append([]byte(mark), nonce...)), nonce
}

func appendDigest(b []byte) []byte {
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// reply is the guest's answer to a nonce.
func reply(nonce []byte) []byte {
	sum := sha256.Sum256(append([]byte("reply"+mark), nonce...))
	return sum[:]
}

// scanner finds hellos in a stream that arrives in pieces.
type scanner struct {
	tail []byte // the last bytes seen, fewer than a hello
}

// next looks at a further piece. With a hello in it: its nonce, and how much of the piece lies behind the hello.
func (s *scanner) next(piece []byte) (nonce []byte, rest int, found bool) {
	seen := append(s.tail, piece...)
	for at := 0; ; at++ {
		i := bytes.Index(seen[at:], []byte(mark))
		if i < 0 {
			break
		}
		at += i
		if len(seen)-at < helloLen {
			break
		}
		hello := seen[at : at+helloLen]
		body := hello[:len(mark)+nonceLen]
		if bytes.Equal(appendDigest(bytes.Clone(body)), hello) {
			rest = len(seen) - at - helloLen
			s.tail = nil
			return bytes.Clone(body[len(mark):]), rest, true
		}
	}
	s.tail = bytes.Clone(seen[max(0, len(seen)-helloLen+1):])
	return nil, 0, false
}

// awaitReply reads until the answer to the nonce has passed.
func awaitReply(r *bufio.Reader, nonce []byte) error {
	want := reply(nonce)
	window := make([]byte, 0, 2*replyLen)
	for {
		b, err := r.ReadByte()
		if err != nil {
			return noEOF(err)
		}
		if len(window) == cap(window) {
			window = append(window[:0], window[replyLen+1:]...)
		}
		window = append(window, b)
		if bytes.HasSuffix(window, want) {
			return nil
		}
	}
}

// noEOF makes an end that came too early an error that says so.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
