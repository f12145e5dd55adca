package client

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// serve answers requests on a unix socket with net/http, and counts connections.
func serve(t *testing.T, h http.HandlerFunc) (socket string, connections *atomic.Int32, stop func()) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	connections, stop = serveAt(t, socket, h)
	return socket, connections, stop
}

func serveAt(t *testing.T, socket string, h http.HandlerFunc) (connections *atomic.Int32, stop func()) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	connections = new(atomic.Int32)
	srv := &http.Server{Handler: h, ConnState: func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	stop = func() { srv.Close(); <-done }
	t.Cleanup(stop)
	return connections, stop
}

func fetch(t *testing.T, c *Client, method, path, body string) (int, string, error) {
	t.Helper()
	r := &request{method: method, path: path, accept: "text/plain"}
	if body != "" {
		r.body, r.contentType = []byte(body), "text/plain"
	}
	res, err := c.exchange(t.Context(), r)
	if err != nil {
		return 0, "", err
	}
	defer res.close()
	data, err := res.all()
	return res.status, string(data), err
}

// The forms of answers that net/http gives, one after the other on one connection.
func TestExchange(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789abcdef", 40_000)
	socket, connections, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch r.URL.Path {
		case "/echo":
			io.WriteString(w, r.Method+" "+r.URL.RawQuery+" "+r.Header.Get("Content-Type")+" "+string(body))
		case "/long":
			io.WriteString(w, long)
		case "/parts":
			w.Header().Set("Trailer", "Sum")
			for _, part := range strings.SplitAfter("one two three", " ") {
				io.WriteString(w, part)
				w.(http.Flusher).Flush()
			}
			w.Header().Set("Sum", "7")
		case "/early":
			w.WriteHeader(http.StatusEarlyHints)
			io.WriteString(w, "late")
		case "/none":
			w.WriteHeader(http.StatusNoContent)
		default:
			http.Error(w, "no such thing", http.StatusNotFound)
		}
	})
	c := New(socket)
	for _, tt := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/echo?a=1&b=%20", "", 200, "GET a=1&b=%20  "},
		{"POST", "/echo", "hello", 200, "POST  text/plain hello"},
		{"POST", "/echo", long, 200, "POST  text/plain " + long},
		{"GET", "/long", "", 200, long},
		{"GET", "/parts", "", 200, "one two three"},
		{"GET", "/early", "", 200, "late"},
		{"GET", "/none", "", 204, ""},
		{"GET", "/nothing", "", 404, "no such thing\n"},
	} {
		status, got, err := fetch(t, c, tt.method, tt.path, tt.body)
		if err != nil || status != tt.status || got != tt.want {
			t.Errorf("%s %s: %d, %.60q, %v, want %d, %.60q", tt.method, tt.path, status, got, err, tt.status, tt.want)
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// A kept connection that the server has ended is not used, whatever the request.
func TestExchange_Restart(t *testing.T) {
	t.Parallel()
	ok := func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }
	socket, _, stop := serve(t, ok)
	c := New(socket)
	for _, method := range []string{"GET", "POST"} {
		if _, _, err := fetch(t, c, method, "/", ""); err != nil {
			t.Fatal(err)
		}
		stop()
		if _, _, err := fetch(t, c, method, "/", ""); err == nil || !errors.Is(c.unreachable(err), ErrNotRunning) {
			t.Errorf("%s without a server: %v, want %v", method, err, ErrNotRunning)
		}
		_, stop = serveAt(t, socket, ok)
	}
	if _, got, err := fetch(t, c, "POST", "/", ""); err != nil || got != "ok" {
		t.Errorf("with a new server: %q, %v", got, err)
	}
}

// The end of the context ends a request at any point, and its connection with it.
func TestExchange_Context(t *testing.T) {
	t.Parallel()
	begun, release := make(chan struct{}), make(chan struct{})
	socket, connections, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			io.WriteString(w, "first")
			w.(http.Flusher).Flush()
		}
		if r.URL.Path != "/" {
			begun <- struct{}{}
			<-release
		}
	})
	defer close(release)
	c := New(socket)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := c.exchange(ctx, &request{method: "GET", path: "/head"})
		failed <- err
	}()
	<-begun
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("before the answer: %v", err)
	}
	if _, err := c.exchange(ctx, &request{method: "GET", path: "/"}); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}

	ctx, cancel = context.WithTimeout(t.Context(), time.Hour)
	res, err := c.exchange(ctx, &request{method: "GET", path: "/body"})
	if err != nil {
		t.Fatal(err)
	}
	<-begun
	cancel()
	if _, err := res.all(); err == nil || !errors.Is(ended(ctx, err), context.Canceled) {
		t.Errorf("in the body: %v", err)
	}
	res.close()
	before := connections.Load()
	if _, _, err := fetch(t, c, "GET", "/", ""); err != nil || connections.Load() != before+1 {
		t.Errorf("after that: %v, %d more connections, want one", err, connections.Load()-before)
	}
}

func TestReadHead_Malformed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", "EOF"},
		{"another protocol", "SSH-2.0-x\r\n\r\n", "malformed"},
		{"no status", "HTTP/1.1\r\n\r\n", "malformed"},
		{"status", "HTTP/1.1 2000 OK\r\n\r\n", "malformed"},
		{"ends in the head", "HTTP/1.1 200 OK\r\nA: b\r\n", "unexpected EOF"},
		{"header", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "header line"},
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "length"},
		{"encoding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "encoding"},
		{"ends in the body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "unexpected EOF"},
		{"ends in a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", "unexpected EOF"},
		{"ends between chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "unexpected EOF"},
		{"size of a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n", "size of a chunk"},
		{"behind a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", "behind a chunk"},
		{"large head", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("b", maxHeader) + "\r\n\r\n", "more than"},
		{"large body", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "at most"},
	} {
		res, err := readHead(bufio.NewReader(strings.NewReader(tt.text)))
		if err == nil {
			_, err = res.all()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// FuzzReadHead gives answers of any form: a body is never longer than what came, and what net/http reads as an answer
// with a body has the same body here.
func FuzzReadHead(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.0 404 Not Found\r\n\r\nall"))
	f.Fuzz(func(t *testing.T, text []byte) {
		res, err := readHead(bufio.NewReader(bytes.NewReader(text)))
		if err != nil {
			return
		}
		if res.length > int64(len(text)) {
			return
		}
		got, err := res.all()
		if len(got) > len(text) {
			t.Fatalf("%d bytes of %d", len(got), len(text))
		}
		if err != nil || res.status == 304 {
			return
		}
		other, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(text)), nil)
		if err != nil || other.StatusCode != res.status {
			return
		}
		want, err := io.ReadAll(other.Body)
		if err == nil && !bytes.Equal(got, want) {
			t.Errorf("body %q, net/http reads %q", got, want)
		}
	})
}

// A daemon that does not answer, and one that goes away before it does, are told apart from one that does not run.
func TestLocal_Silent(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	socket, _, _ := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "local") {
			<-release
		}
		panic(http.ErrAbortHandler)
	})
	defer close(release)
	c := New(socket)
	c.patience = 10 * time.Millisecond
	if _, err := c.Local(t.Context()); !errors.Is(err, ErrSilent) {
		t.Errorf("of a daemon that is stopped: %v, want %v", err, ErrSilent)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := c.Local(ctx); errors.Is(err, ErrSilent) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a shorter limit of the caller: %v, want that", err)
	}
	if err := c.Stop(t.Context()); !errors.Is(err, ErrEnded) {
		t.Errorf("of a daemon that ends: %v, want %v", err, ErrEnded)
	}
}
