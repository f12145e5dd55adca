package subprocess

import (
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// tail keeps the last bytes that were written to it.
type tail struct {
	buf  []byte // grows up to limit, then a ring
	next int    // where the next byte goes once the ring is full
	max  int
}

func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	if t.max == 0 {
		return n, nil
	}
	if len(p) > t.max {
		p = p[len(p)-t.max:]
	}
	if room := t.max - len(t.buf); room > 0 {
		fits := min(room, len(p))
		t.buf = append(t.buf, p[:fits]...)
		p = p[fits:]
	}
	for len(p) > 0 {
		c := copy(t.buf[t.next:], p)
		t.next = (t.next + c) % t.max
		p = p[c:]
	}
	return n, nil
}

func (t *tail) bytes() []byte {
	return append(append([]byte(nil), t.buf[t.next:]...), t.buf[:t.next]...)
}

// capture reads one output stream of a program.
type capture struct {
	pipe  *os.File
	head  []byte
	limit int // of head
	tail  tail
	total int64
	sum   hash.Hash
	done  chan struct{}
	ended bool // end of file was seen
}

func newCapture(pipe *os.File, head, tailLimit int) *capture {
	c := &capture{pipe: pipe, limit: head, tail: tail{max: tailLimit}, sum: sha256.New(), done: make(chan struct{})}
	go c.read()
	return c
}

func (c *capture) read() {
	defer close(c.done)
	buf := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buf)
	for {
		n, err := c.pipe.Read(buf[:])
		c.take(buf[:n])
		if err != nil {
			c.ended = !errors.Is(err, os.ErrDeadlineExceeded)
			return
		}
	}
}

func (c *capture) take(p []byte) {
	c.total += int64(len(p))
	c.sum.Write(p)
	if room := c.limit - len(c.head); room > 0 {
		c.head = append(c.head, p[:min(room, len(p))]...)
	}
	_, _ = c.tail.Write(p)
}

// stop ends the capture: what lies in the pipe now is still taken, nothing is waited for. It reports whether
// nobody holds the other end any more.
func (c *capture) stop() (ended bool) {
	_ = c.pipe.SetReadDeadline(time.Unix(1, 0))
	<-c.done
	if c.ended {
		return true
	}
	_ = c.pipe.SetReadDeadline(time.Time{})
	raw, err := c.pipe.SyscallConn()
	if err != nil {
		return true
	}
	buf := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buf)
	_ = raw.Read(func(fd uintptr) bool {
		for read := 0; read < drainLimit; {
			n, err := unix.Read(int(fd), buf[:])
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil {
				break
			}
			if n == 0 {
				c.ended = true
				break
			}
			c.take(buf[:n])
			read += n
		}
		return true
	})
	return c.ended
}

func (c *capture) stream() Stream {
	return Stream{Head: c.head, Tail: c.tail.bytes(), Total: c.total}
}

var _ io.Writer = (*tail)(nil)
