// Package client is the Go client of a node's API. A Client may be used by several goroutines.
package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/store/command"
)

// Client talks to the daemon of one node.
type Client struct {
	socket string
	http   *http.Client
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
func New(socket string) *Client {
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			c, err := d.DialContext(ctx, "unix", socket)
			if err != nil {
				return nil, err
			}
			if err := checkServer(c); err != nil {
				c.Close()
				return nil, err
			}
			return c, nil
		},
		DisableCompression: true,
		IdleConnTimeout:    30 * time.Second,
	}}}
}

// checkServer refuses a socket that somebody else than root or the caller listens on: a squatter must not be
// told anything.
func checkServer(c net.Conn) error {
	raw, err := c.(*net.UnixConn).SyscallConn()
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
	var in io.Reader
	if body != nil {
		data, err := cbor.Marshal(body)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		in = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://quorate"+path, in)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", api.CBOR)
	req.Header.Set("Accept", api.CBOR)
	res, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("read the daemon's answer: %w", err)
	}
	if res.StatusCode/100 != 2 {
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

// State fetches the replicated state: linearizable, or with stale what the node has.
func (c *Client) State(ctx context.Context, stale bool) (*command.State, error) {
	return c.state(ctx, url.Values{}, stale)
}

// Configuration fetches the part of the state that a change of the configuration starts from.
func (c *Client) Configuration(ctx context.Context, stale bool) (*command.State, error) {
	return c.state(ctx, url.Values{"part": {"configuration"}}, stale)
}

func (c *Client) state(ctx context.Context, q url.Values, stale bool) (*command.State, error) {
	if stale {
		q.Set("stale", "1")
	}
	var data []byte
	if err := c.do(ctx, http.MethodGet, api.PathState+"?"+q.Encode(), nil, &data); err != nil {
		return nil, err
	}
	return command.DecodeState(data)
}

// Wait fetches the state once it is newer than after, or after the wait (in whole seconds) has passed.
func (c *Client) Wait(ctx context.Context, after uint64, wait time.Duration) (*command.State, error) {
	return c.state(ctx, url.Values{"after": {strconv.FormatUint(after, 10)}, "wait": {strconv.Itoa(int(wait / time.Second))}}, false)
}

// Revision fetches the configuration as it was right after the change with that index.
func (c *Client) Revision(ctx context.Context, index uint64) (*cib.Document, error) {
	var data []byte
	if err := c.do(ctx, http.MethodGet, api.PathRevision+"?index="+strconv.FormatUint(index, 10), nil, &data); err != nil {
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
	err := c.do(ctx, http.MethodGet, path, nil, &data)
	return data, err
}

// Local fetches what the node sees.
func (c *Client) Local(ctx context.Context) (*api.Local, error) {
	l := new(api.Local)
	return l, c.do(ctx, http.MethodGet, api.PathLocal, nil, l)
}

// Propose has an entry applied and returns its index.
func (c *Client) Propose(ctx context.Context, e *command.Entry) (uint64, error) {
	var r api.ProposeReply
	err := c.do(ctx, http.MethodPost, api.PathPropose, e, &r)
	return r.Index, err
}

// Token issues a join token.
func (c *Client) Token(ctx context.Context, r api.TokenRequest) (*api.TokenReply, error) {
	reply := new(api.TokenReply)
	return reply, c.do(ctx, http.MethodPost, api.PathToken, r, reply)
}

// Stop has the node leave in order and stop.
func (c *Client) Stop(ctx context.Context) error {
	return c.do(ctx, http.MethodPost, api.PathStop, struct{}{}, nil)
}

// Recover has the node go on as the only voter, by the caller's word that the named nodes are off.
func (c *Client) Recover(ctx context.Context, r api.RecoverRequest) (*api.RecoverReply, error) {
	var reply api.RecoverReply
	return &reply, c.do(ctx, http.MethodPost, api.PathRecover, r, &reply)
}

// Init makes a new cluster with the node.
func (c *Client) Init(ctx context.Context, r api.InitRequest) error {
	return c.do(ctx, http.MethodPost, api.PathInit, r, nil)
}

// Join has the node join a cluster.
func (c *Client) Join(ctx context.Context, r api.JoinRequest) error {
	return c.do(ctx, http.MethodPost, api.PathJoin, r, nil)
}

// Metadata fetches the metadata of an agent as XML.
func (c *Client) Metadata(ctx context.Context, agent string) ([]byte, error) {
	var data []byte
	err := c.do(ctx, http.MethodGet, api.PathMetadata+"?"+url.Values{"agent": {agent}}.Encode(), nil, &data)
	return data, err
}

// Agents lists the agents of a class, such as "ocf" or "ocf:heartbeat".
func (c *Client) Agents(ctx context.Context, class string) ([]string, error) {
	var list []string
	err := c.do(ctx, http.MethodGet, api.PathAgents+"?"+url.Values{"class": {class}}.Encode(), nil, &list)
	return list, err
}

// Decisions lists what this node decided as leader, newest first; most bounds the list, 0 = all that is known.
func (c *Client) Decisions(ctx context.Context, most int) ([]api.Decision, error) {
	var list []api.Decision
	err := c.do(ctx, http.MethodGet, api.PathDecision+"?"+url.Values{"most": {strconv.Itoa(most)}}.Encode(), nil, &list)
	return list, err
}

// DecisionInput fetches what a decision was made from. The daemon's answer is an error where that is not kept.
func (c *Client) DecisionInput(ctx context.Context, id string) (*api.DecisionInput, error) {
	in := new(api.DecisionInput)
	return in, c.do(ctx, http.MethodGet, api.PathInput+"?"+url.Values{"id": {id}}.Encode(), nil, in)
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
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://quorate"+api.PathEvents+"?"+q.Encode(), nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", api.EventStream)
	res, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		data, _ := io.ReadAll(io.LimitReader(res.Body, maxEventLine))
		return refused(res, data)
	}
	lines := bufio.NewScanner(res.Body)
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
		return fmt.Errorf("read events: %w", err)
	}
	return errors.New("the daemon ended the stream of events")
}

// unreachable says why the daemon could not be asked.
func (c *Client) unreachable(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%w (no daemon behind %s)", ErrNotRunning, c.socket)
	}
	return fmt.Errorf("talk to the daemon: %w", err)
}

// refused is the error in an answer that is not a success.
func refused(res *http.Response, data []byte) error {
	e := &Error{Status: res.StatusCode}
	if json.Unmarshal(data, &e.Reply) != nil || e.Reply.Message == "" {
		e.Reply.Message = fmt.Sprintf("the daemon answered %s", res.Status)
	}
	return e
}
