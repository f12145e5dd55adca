package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// HTTP/1.1 is spoken by hand here. The shell and the tools start anew for each command, agents call some of them at
// each monitor, and net/http with all that comes with it (TLS, certificates, HTTP/2) costs such a process more than what
// it does. There is one server to talk to, over a unix socket, and it is ours: no names, no proxies, no redirects.

// Bounds of answers and connections.
const (
	maxHeader = 64 << 10 // of an answer, in bytes
	maxReply  = 1 << 30  // of a body that is read whole: far above the largest state
	maxIdle   = 64       // connections that are kept for later requests
	// idleTime is how long a kept connection may be used again: less than what the server waits for a request.
	idleTime = 10 * time.Second
)

// errReply is in the chain of errors about an answer that is not HTTP as this client knows it.
var errReply = errors.New("malformed answer")

// request is what is asked.
type request struct {
	method, path string // path with the query
	accept       string
	contentType  string
	body         []byte
}

// text is the request as it is sent.
func (r *request) text() []byte {
	b := make([]byte, 0, 256+len(r.body))
	b = fmt.Appendf(b, "%s %s HTTP/1.1\r\nHost: quorate\r\nAccept: %s\r\n", r.method, r.path, r.accept)
	if r.body != nil {
		b = fmt.Appendf(b, "Content-Type: %s\r\nContent-Length: %d\r\n", r.contentType, len(r.body))
	}
	b = append(b, "\r\n"...)
	return append(b, r.body...)
}

// response is an answer whose body has not been read yet. It must be closed.
type response struct {
	status int
	reason string // the status in words
	body   io.Reader
	length int64 // of the body; -1 = not known

	conn  *conn
	keep  bool // the connection may serve another request once the body was read
	ended bool // the body was read to its end
	stop  func() bool
	home  *Client
}

// Read reads the body.
func (r *response) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	r.ended = r.ended || err == io.EOF
	return n, err
}

// all reads the whole body.
func (r *response) all() ([]byte, error) {
	if r.length > maxReply {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", errReply, r.length, maxReply)
	}
	if r.length >= 0 {
		data := make([]byte, r.length)
		_, err := io.ReadFull(r.body, data)
		r.ended = err == nil
		return data, err
	}
	data, err := io.ReadAll(io.LimitReader(r, maxReply+1))
	if err == nil && len(data) > maxReply {
		err = fmt.Errorf("%w: more than %d bytes", errReply, maxReply)
	}
	return data, err
}

// close gives the connection back, or ends it.
func (r *response) close() {
	// Where the context has ended, its deadline may come at any time from now on.
	if r.stop() && r.keep && r.ended {
		r.home.put(r.conn)
		return
	}
	r.conn.Close()
}

// conn is a connection to the daemon.
type conn struct {
	*net.UnixConn
	in    *bufio.Reader
	since time.Time // when it was put back
}

// exchange sends a request and reads the head of the answer. The answer's body ends, too, when ctx does. A request that
// only reads is made again where a connection that was kept has ended meanwhile.
func (c *Client) exchange(ctx context.Context, r *request) (*response, error) {
	for {
		cn, kept := c.take(), true
		if cn == nil {
			var err error
			if cn, err = dial(ctx, c.socket); err != nil {
				return nil, err
			}
			kept = false
		}
		res, err := c.talk(ctx, cn, r)
		if err == nil {
			return res, nil
		}
		cn.Close()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if !kept || r.method != "GET" {
			return nil, err
		}
	}
}

// talk carries out a request on a connection, up to the head of the answer.
func (c *Client) talk(ctx context.Context, cn *conn, r *request) (*response, error) {
	// A deadline that has passed wakes whoever reads or writes.
	stop := context.AfterFunc(ctx, func() { _ = cn.SetDeadline(time.Unix(1, 0)) })
	if _, err := cn.Write(r.text()); err != nil {
		stop()
		return nil, err
	}
	res, err := readHead(cn.in)
	if err != nil {
		stop()
		return nil, err
	}
	res.conn, res.stop, res.home = cn, stop, c
	return res, nil
}

// readHead reads the head of an answer.
func readHead(in *bufio.Reader) (*response, error) {
	for {
		res, err := readOneHead(in)
		if err != nil || res.status >= 200 {
			return res, err
		}
		// An interim answer; the real one follows.
	}
}

func readOneHead(in *bufio.Reader) (*response, error) {
	left := maxHeader
	line, err := readLine(in, &left)
	if err != nil {
		return nil, err
	}
	version, status, _ := strings.Cut(line, " ")
	code, _, _ := strings.Cut(status, " ")
	res := &response{reason: status, length: -1, keep: version == "HTTP/1.1"}
	if res.status, err = strconv.Atoi(code); err != nil || !strings.HasPrefix(version, "HTTP/1.") || len(code) != 3 || res.status < 100 {
		return nil, fmt.Errorf("%w: it begins with %.40q", errReply, line)
	}
	chunked := false
	for {
		line, err := readLine(in, &left)
		if err != nil {
			return nil, noEnd(err)
		}
		if line == "" {
			break
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("%w: header line %.40q", errReply, line)
		}
		value = strings.TrimSpace(value)
		switch strings.ToLower(name) {
		case "content-length":
			if res.length, err = strconv.ParseInt(value, 10, 64); err != nil || res.length < 0 {
				return nil, fmt.Errorf("%w: length %.40q", errReply, value)
			}
		case "transfer-encoding":
			if chunked = strings.EqualFold(value, "chunked"); !chunked {
				return nil, fmt.Errorf("%w: transfer encoding %.40q", errReply, value)
			}
		case "connection":
			res.keep = res.keep && !strings.EqualFold(value, "close")
		}
	}
	switch {
	case chunked:
		res.length = -1
		res.body = &chunks{in: in}
	case res.status < 200 || res.status == 204 || res.status == 304:
		res.length, res.body = 0, io.LimitReader(in, 0)
	case res.length >= 0:
		res.body = &fixed{in: in, left: res.length}
	default: // until the server ends the connection
		res.keep, res.body = false, in
	}
	return res, nil
}

// readLine reads a line without its end. left is what the lines may have yet, in bytes.
func readLine(in *bufio.Reader, left *int) (string, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if *left -= len(part); *left < 0 {
			return "", fmt.Errorf("%w: its head has more than %d bytes", errReply, maxHeader)
		}
		line = append(line, part...)
		if err == nil {
			return strings.TrimSuffix(string(line[:len(line)-1]), "\r"), nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			if len(line) > 0 {
				err = noEnd(err)
			}
			return "", err
		}
	}
}

// noEnd says that the connection ended in the middle.
func noEnd(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// fixed is a body of known length.
type fixed struct {
	in   *bufio.Reader
	left int64
}

func (f *fixed) Read(p []byte) (int, error) {
	if f.left == 0 {
		return 0, io.EOF
	}
	n, err := f.in.Read(p[:min(int64(len(p)), f.left)])
	f.left -= int64(n)
	if f.left > 0 {
		err = noEnd(err)
	}
	return n, err
}

// chunks is a body that comes in chunks (RFC 9112, 7.1).
type chunks struct {
	in    *bufio.Reader
	left  int64 // of the chunk
	begun bool  // a chunk was read, whose end of line stands before the next
	err   error
}

func (c *chunks) Read(p []byte) (int, error) {
	if c.left == 0 && c.err == nil {
		c.next()
	}
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.in.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	c.err = noEnd(err)
	return n, c.err
}

// next reads the line before a chunk; behind the last, which is empty, trailers and an empty line.
func (c *chunks) next() {
	left := maxHeader
	line := func() (text string) {
		if c.err == nil {
			text, c.err = readLine(c.in, &left)
			c.err = noEnd(c.err)
		}
		return text
	}
	if c.begun && line() != "" {
		c.err = fmt.Errorf("%w: bytes behind a chunk", errReply)
	}
	c.begun = true
	text, _, _ := strings.Cut(line(), ";")
	if c.err != nil {
		return
	}
	var err error
	if c.left, err = strconv.ParseInt(strings.TrimSpace(text), 16, 64); err != nil || c.left < 0 {
		c.left, c.err = 0, fmt.Errorf("%w: size of a chunk %.40q", errReply, text)
		return
	}
	if c.left == 0 {
		for line() != "" {
		}
		if c.err == nil {
			c.err = io.EOF
		}
	}
}

// dial connects to the daemon.
func dial(ctx context.Context, socket string) (*conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("%s is no unix socket", socket)
	}
	if err := checkServer(u); err != nil {
		u.Close()
		return nil, err
	}
	return &conn{UnixConn: u, in: bufio.NewReader(u)}, nil
}

// take returns a connection that was kept, or nil.
func (c *Client) take() *conn {
	for {
		c.mu.Lock()
		if len(c.idle) == 0 {
			c.mu.Unlock()
			return nil
		}
		cn := c.idle[len(c.idle)-1]
		c.idle = c.idle[:len(c.idle)-1]
		c.mu.Unlock()
		if time.Since(cn.since) < idleTime && cn.quiet() {
			return cn
		}
		cn.Close()
	}
}

// put keeps a connection for a later request.
func (c *Client) put(cn *conn) {
	cn.since = time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.idle) < maxIdle {
		c.idle = append(c.idle, cn)
	} else {
		cn.Close()
	}
}

// quiet reports whether the server has neither sent anything unasked nor ended the connection.
func (cn *conn) quiet() bool {
	if cn.in.Buffered() > 0 {
		return false
	}
	raw, err := cn.SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	err = raw.Control(func(fd uintptr) {
		var one [1]byte
		_, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		quiet = errors.Is(err, unix.EAGAIN)
	})
	return err == nil && quiet
}
