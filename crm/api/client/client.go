// Package client is the Go client of a node's API. A Client may be used by several goroutines.
package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/store/command"
)

// Client talks to the daemon of one node.
type Client struct {
	socket   string
	patience time.Duration // see answerTime

	mu   sync.Mutex // guards what follows
	idle []*conn    // connections without a request, the one used last at the end
}

// Error is an answer that is not a success.
type Error struct {
	Status int // of HTTP
	Reply  api.Error
}

// Error implements error.
func (e *Error) Error() string { return e.Reply.Message }

// ErrNotRunning says that no daemon listens on the socket.
var ErrNotRunning = errors.New("the cluster is not running on this node")

// ErrSilent says that a daemon listens on the socket and does not answer.
var ErrSilent = errors.New("the daemon of this node does not answer")

// ErrEnded says that the daemon went away before it answered: whether it did what it was asked is not known.
var ErrEnded = errors.New("the daemon of this node ended before it answered")

// answerTime bounds the answer to a question about the state. The server has 15 s for it: a daemon that takes longer is
// stopped or stuck, and waiting for it says nothing.
const answerTime = 20 * time.Second

// Socket returns where the daemon of this node listens: QUORATE_SOCKET, or run/api.sock below QUORATE_ROOT, or the
// place of an installed node. getenv is os.Getenv, or the like.
func Socket(getenv func(string) string) string {
	if name := getenv("QUORATE_SOCKET"); name != "" {
		return name
	}
	if root := getenv("QUORATE_ROOT"); root != "" {
		return filepath.Join(root, "run", "api.sock")
	}
	return "/run/quorate/api.sock"
}

// New returns a client of the daemon behind the unix socket.
func New(socket string) *Client { return &Client{socket: socket, patience: answerTime} }

// checkServer refuses a socket that somebody else than root or the caller listens on: a squatter must not be
// told anything.
func checkServer(c *net.UnixConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var cred *syscall.Ucred
	var opErr error
	if err := raw.Control(func(fd uintptr) {
		cred, opErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return err
	}
	if opErr != nil {
		return opErr
	}
	if cred.Uid != 0 && int(cred.Uid) != os.Getuid() {
		return fmt.Errorf("the API socket is served by uid %d, which is neither root nor you: refusing to talk to it", cred.Uid)
	}
	return nil
}

func (c *Client) do(ctx context.Context, method, path string, body, reply any) error {
	req := request{method: method, path: path, accept: api.CBOR, contentType: api.CBOR}
	if body != nil {
		var err error
		if req.body, err = cbor.Marshal(body); err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
	}
	res, err := c.exchange(ctx, &req)
	if err != nil {
		return c.unreachable(err)
	}
	defer res.close()
	data, err := res.all()
	if err != nil {
		return c.unreachable(ended(ctx, err))
	}
	if res.status/100 != 2 {
		return refused(res, data)
	}
	switch v := reply.(type) {
	case nil:
		return nil
	case *[]byte:
		*v = data
		return nil
	}
	if err := cbor.Unmarshal(data, reply); err != nil {
		return fmt.Errorf("read the daemon's answer: %w", err)
	}
	return nil
}

// ended says why something failed: ctx, where that has ended.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// ask is do for a question that is answered at once, or after the wait that it names.
func (c *Client) ask(ctx context.Context, path string, wait time.Duration, reply any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.patience+wait, ErrSilent)
	defer cancel()
	return c.do(ctx, "GET", path, nil, reply)
}

// State fetches the replicated state: linearizable, or with stale what the node has.
func (c *Client) State(ctx context.Context, stale bool) (*command.State, error) {
	return c.state(ctx, url.Values{}, stale, 0)
}

// Scope names the one object that is of interest; zero = the whole configuration. A resource that stands in another one
// means that.
type Scope struct{ Resource, Node string }

// Configuration fetches the part of the state that a change of the configuration starts from: see command.State's
// Configuration, and for a scope Excerpt.
func (c *Client) Configuration(ctx context.Context, scope Scope, stale bool) (*command.State, error) {
	q := url.Values{"part": {"configuration"}}
	if scope.Resource != "" {
		q.Set("resource", scope.Resource)
	}
	if scope.Node != "" {
		q.Set("node", scope.Node)
	}
	return c.state(ctx, q, stale, 0)
}

func (c *Client) state(ctx context.Context, q url.Values, stale bool, wait time.Duration) (*command.State, error) {
	if stale {
		q.Set("stale", "1")
	}
	var data []byte
	if err := c.ask(ctx, api.PathState+"?"+q.Encode(), wait, &data); err != nil {
		return nil, err
	}
	return command.DecodeState(data)
}

// Wait fetches the state once it is newer than after, or after the wait (in whole seconds) has passed.
func (c *Client) Wait(ctx context.Context, after uint64, wait time.Duration) (*command.State, error) {
	return c.state(ctx, url.Values{"after": {strconv.FormatUint(after, 10)}, "wait": {strconv.Itoa(int(wait / time.Second))}}, false, wait)
}

// Revision fetches the configuration as it was right after the change with that index.
func (c *Client) Revision(ctx context.Context, index uint64) (*cib.Document, error) {
	var data []byte
	if err := c.do(ctx, "GET", api.PathRevision+"?index="+strconv.FormatUint(index, 10), nil, &data); err != nil {
		return nil, err
	}
	return command.DecodeDocument(data)
}

// CIB fetches the document as Pacemaker's XML.
func (c *Client) CIB(ctx context.Context, stale bool) ([]byte, error) {
	path := api.PathCIB
	if stale {
		path += "?stale=1"
	}
	var data []byte
	err := c.do(ctx, "GET", path, nil, &data)
	return data, err
}

// Local fetches what the node sees.
func (c *Client) Local(ctx context.Context) (*api.Local, error) {
	l := new(api.Local)
	return l, c.ask(ctx, api.PathLocal, 0, l)
}

// Propose has an entry applied and returns its index.
func (c *Client) Propose(ctx context.Context, e *command.Entry) (uint64, error) {
	var r api.ProposeReply
	err := c.do(ctx, "POST", api.PathPropose, e, &r)
	return r.Index, err
}

// Token issues a join token.
func (c *Client) Token(ctx context.Context, r api.TokenRequest) (*api.TokenReply, error) {
	reply := new(api.TokenReply)
	return reply, c.do(ctx, "POST", api.PathToken, r, reply)
}

// Stop has the node leave in order and stop.
func (c *Client) Stop(ctx context.Context) error {
	return c.do(ctx, "POST", api.PathStop, struct{}{}, nil)
}

// Recover has the node go on as the only voter, by the caller's word that the named nodes are off.
func (c *Client) Recover(ctx context.Context, r api.RecoverRequest) (*api.RecoverReply, error) {
	var reply api.RecoverReply
	return &reply, c.do(ctx, "POST", api.PathRecover, r, &reply)
}

// Run runs one operation of a resource by hand. It returns when the operation has ended.
func (c *Client) Run(ctx context.Context, r api.RunRequest) (*api.RunReply, error) {
	reply := new(api.RunReply)
	return reply, c.do(ctx, "POST", api.PathRun, r, reply)
}

// Init makes a new cluster with the node.
func (c *Client) Init(ctx context.Context, r api.InitRequest) error {
	return c.do(ctx, "POST", api.PathInit, r, nil)
}

// Join has the node join a cluster.
func (c *Client) Join(ctx context.Context, r api.JoinRequest) error {
	return c.do(ctx, "POST", api.PathJoin, r, nil)
}

// Metadata fetches the metadata of an agent as XML.
func (c *Client) Metadata(ctx context.Context, agent string) ([]byte, error) {
	var data []byte
	err := c.do(ctx, "GET", api.PathMetadata+"?"+url.Values{"agent": {agent}}.Encode(), nil, &data)
	return data, err
}

// Agents lists the agents of a class, such as "ocf" or "ocf:heartbeat".
func (c *Client) Agents(ctx context.Context, class string) ([]string, error) {
	var list []string
	err := c.do(ctx, "GET", api.PathAgents+"?"+url.Values{"class": {class}}.Encode(), nil, &list)
	return list, err
}

// Decisions lists what this node decided as leader, newest first; most bounds the list, 0 = all that is known.
func (c *Client) Decisions(ctx context.Context, most int) ([]api.Decision, error) {
	var list []api.Decision
	err := c.do(ctx, "GET", api.PathDecision+"?"+url.Values{"most": {strconv.Itoa(most)}}.Encode(), nil, &list)
	return list, err
}

// DecisionInput fetches what a decision was made from. The daemon's answer is an error where that is not kept.
func (c *Client) DecisionInput(ctx context.Context, id string) (*api.DecisionInput, error) {
	in := new(api.DecisionInput)
	return in, c.do(ctx, "GET", api.PathInput+"?"+url.Values{"id": {id}}.Encode(), nil, in)
}

// EventFilter chooses events. Zero fields choose all.
type EventFilter struct {
	After          uint64 // resume behind this index; 0 = only what is to come
	Kinds          []string
	Node, Resource string
}

// maxEventLine bounds one line of an event stream in bytes.
const maxEventLine = 1 << 20

// Events calls f for each event until ctx ends, f fails or the stream ends, which is an error.
func (c *Client) Events(ctx context.Context, filter EventFilter, f func(api.Event) error) error {
	q := url.Values{}
	for name, value := range map[string]string{"kind": strings.Join(filter.Kinds, ","), "node": filter.Node, "resource": filter.Resource} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if filter.After > 0 {
		q.Set("after", strconv.FormatUint(filter.After, 10))
	}
	res, err := c.exchange(ctx, &request{method: "GET", path: api.PathEvents + "?" + q.Encode(), accept: api.EventStream})
	if err != nil {
		return c.unreachable(err)
	}
	defer res.close()
	if res.status != 200 {
		data, _ := io.ReadAll(io.LimitReader(res, maxEventLine))
		return refused(res, data)
	}
	lines := bufio.NewScanner(res)
	lines.Buffer(nil, maxEventLine)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var e api.Event
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return fmt.Errorf("read an event: %w", err)
		}
		if err := f(e); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read events: %w", ended(ctx, err))
	}
	return errors.New("the daemon ended the stream of events")
}

// unreachable says why the daemon could not be asked.
func (c *Client) unreachable(err error) error {
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%w (no daemon behind %s)", ErrNotRunning, c.socket)
	}
	if errors.Is(err, ErrSilent) {
		return fmt.Errorf("%w (behind %s)", ErrSilent, c.socket)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return ErrEnded
	}
	return fmt.Errorf("talk to the daemon: %w", err)
}

// refused is the error in an answer that is not a success.
func refused(res *response, data []byte) error {
	e := &Error{Status: res.status}
	if json.Unmarshal(data, &e.Reply) != nil || e.Reply.Message == "" {
		e.Reply.Message = fmt.Sprintf("the daemon answered %s", res.reason)
	}
	return e
}
