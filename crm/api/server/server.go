// Package server answers the client protocol on the unix socket of a node. Every request goes through one
// door: the caller's identity comes from the kernel, the verb from the table of package api, the answer from
// package acl; only then is the request read.
package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/hashicorp/go-hclog"

	"github.com/quorate/quorate/crm/acl"
	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/store/command"
)

// Bounds of the server. A local client that misbehaves must not starve the daemon.
const (
	maxConnections    = 256
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	maxWait           = 60 * time.Second // of a request that waits for a newer state
	proposeTimeout    = 15 * time.Second
	shutdownTimeout   = 2 * time.Second
)

// ErrNoQuorum answers requests that need a leader when none is known in time.
var ErrNoQuorum = errors.New("no leader with quorum is known")

// StateError refuses a request that does not fit the node's present state.
type StateError struct{ Message, Hint string }

// Error implements error.
func (e *StateError) Error() string { return e.Message }

// NotFoundError says that there is no such thing here.
type NotFoundError struct{ Message, Hint string }

// Error implements error.
func (e *NotFoundError) Error() string { return e.Message }

// Backend is the node behind the server. All functions may be called by many goroutines.
type Backend struct {
	// State returns the newest state; linear asks the leader first, so that no acknowledged write is missing.
	State func(ctx context.Context, linear bool) (*command.State, error)
	// Wait returns the state once its index is above after.
	Wait func(ctx context.Context, after uint64) (*command.State, error)
	// Propose returns once the entry was applied on this node.
	Propose func(ctx context.Context, e *command.Entry) (index uint64, out command.Outcome, err error)
	// CIB returns the document as Pacemaker's XML.
	CIB     func(ctx context.Context, linear bool) ([]byte, error)
	Local   func() api.Local
	Token   func(ctx context.Context, r api.TokenRequest, actor string) (api.TokenReply, error)
	Stop    func(ctx context.Context) error
	Recover func(ctx context.Context, r api.RecoverRequest, actor string) (api.RecoverReply, error)
	// Run runs an operation by hand and returns when it has ended, or why it was not run.
	Run      func(ctx context.Context, r api.RunRequest, actor string) (api.RunReply, error)
	Init     func(ctx context.Context, r api.InitRequest) error
	Join     func(ctx context.Context, r api.JoinRequest) error
	Metadata func(ctx context.Context, agent string) ([]byte, error)
	Agents   func(ctx context.Context, class string) ([]string, error)
	// Decisions lists what the node decided, newest first, at most most (0 = all); Input returns one with its document.
	Decisions func(ctx context.Context, most int) ([]api.Decision, error)
	// Events waits for events after an index (0 = those to come) and returns them with the index to go on from.
	Events func(ctx context.Context, after uint64) ([]api.Event, uint64, error)
	Input  func(ctx context.Context, id string) (*api.DecisionInput, error)
}

// Config of a Server.
type Config struct {
	Backend Backend
	Policy  *acl.Policy
	Logger  hclog.Logger
	// Denied is told of every refused request, for the audit log; nil = nobody is.
	Denied func(id acl.Identity, verb acl.Verb, endpoint string)
}

// Server answers requests on one listener.
type Server struct {
	cfg     Config
	streams atomic.Int32 // event streams that are open
	mux     *http.ServeMux
}

type handler func(w http.ResponseWriter, r *http.Request, id acl.Identity) error

// New checks that every endpoint of the protocol has a handler.
func New(cfg Config) (*Server, error) {
	if cfg.Policy == nil {
		return nil, errors.New("api server: no access policy")
	}
	if cfg.Logger == nil {
		cfg.Logger = hclog.NewNullLogger()
	}
	s := &Server{cfg: cfg, mux: http.NewServeMux()}
	handlers := map[string]handler{
		api.PathState: s.state, api.PathCIB: s.cib, api.PathLocal: s.local, api.PathPropose: s.propose,
		api.PathToken: s.token, api.PathStop: s.stop, api.PathRecover: s.recover, api.PathRun: s.run, api.PathInit: s.init, api.PathJoin: s.join,
		api.PathMetadata: s.metadata, api.PathAgents: s.agents, api.PathDecision: s.decisions, api.PathInput: s.input, api.PathEvents: s.events, api.PathRevision: s.revision,
	}
	for _, e := range api.Endpoints {
		h := handlers[e.Path]
		if h == nil {
			return nil, fmt.Errorf("api server: endpoint %s has no handler", e.Path)
		}
		s.mux.Handle(e.Method+" "+e.Path, s.door(e, h))
	}
	return s, nil
}

type identityKey struct{}

// Run serves on l until ctx ends; it returns after all requests have ended or were cut off.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           s.mux,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		MaxHeaderBytes:    16 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if lc, ok := c.(*limitedConn); ok {
				c = lc.Conn
			}
			id, err := peerIdentity(c)
			if err != nil {
				s.cfg.Logger.Warn("client without credentials", "error", err)
				return ctx
			}
			return context.WithValue(ctx, identityKey{}, id)
		},
		ErrorLog: s.cfg.Logger.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(&limitedListener{Listener: l, slots: make(chan struct{}, maxConnections)}) }()
	select {
	case err := <-done:
		return fmt.Errorf("api server: %w", err)
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if err := srv.Shutdown(end); err != nil {
		srv.Close()
	}
	<-done
	return nil
}

// limitedListener bounds the open connections; one more is closed at once.
type limitedListener struct {
	net.Listener
	slots chan struct{}
}

func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.slots <- struct{}{}:
			return &limitedConn{Conn: c, slots: l.slots}, nil
		default:
			c.Close()
		}
	}
}

type limitedConn struct {
	net.Conn
	slots chan struct{}
	free  sync.Once // a connection is closed by who serves it and by the end of the server
}

func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.free.Do(func() { <-c.slots })
	return err
}

// door is the one way in.
func (s *Server) door(e api.Endpoint, h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, ok := r.Context().Value(identityKey{}).(acl.Identity)
		if !ok {
			s.fail(w, http.StatusForbidden, api.Error{Code: api.CodeDenied, Message: "the kernel does not tell who you are"})
			return
		}
		if e.Verb != "" {
			if err := s.authorize(id, e.Verb, e.Path); err != nil {
				s.reply(w, err)
				return
			}
		}
		r.Body = http.MaxBytesReader(w, r.Body, api.MaxBody)
		if err := h(w, r, id); err != nil {
			s.reply(w, err)
		}
	})
}

func (s *Server) authorize(id acl.Identity, verb acl.Verb, endpoint string) error {
	err := s.cfg.Policy.Authorize(id, verb)
	if err != nil && s.cfg.Denied != nil {
		s.cfg.Denied(id, verb, endpoint)
	}
	return err
}

// reply turns an error into its answer.
func (s *Server) reply(w http.ResponseWriter, err error) {
	var denied *acl.DeniedError
	var conflict *command.ConflictError
	var state *StateError
	var bad *badRequest
	var gone *command.RevisionError
	var missing *NotFoundError
	switch {
	case errors.As(err, &missing):
		s.fail(w, http.StatusNotFound, api.Error{Code: api.CodeNotFound, Message: missing.Message, Hint: missing.Hint})
	case errors.As(err, &gone):
		s.fail(w, http.StatusNotFound, api.Error{Code: api.CodeNotFound, Message: err.Error(), Hint: `"crm revisions" lists them`})
	case errors.As(err, &denied):
		s.fail(w, http.StatusForbidden, api.Error{Code: api.CodeDenied, Message: err.Error()})
	case errors.As(err, &bad):
		s.fail(w, http.StatusBadRequest, api.Error{Code: api.CodeBad, Message: err.Error()})
	case errors.As(err, &conflict):
		s.fail(w, http.StatusConflict, api.Error{Code: api.CodeConflict, Message: err.Error()})
	case errors.As(err, &state):
		s.fail(w, http.StatusConflict, api.Error{Code: api.CodeState, Message: state.Message, Hint: state.Hint})
	case errors.Is(err, ErrNoQuorum):
		s.fail(w, http.StatusServiceUnavailable, api.Error{Code: api.CodeNoQuorum, Message: err.Error(),
			Hint: `look at "crm cluster status": are enough nodes up and connected?`})
	case errors.Is(err, context.DeadlineExceeded):
		s.fail(w, http.StatusGatewayTimeout, api.Error{Code: api.CodeUnknown,
			Message: "no answer in time; a change may still take effect", Hint: `look at "crm cluster status", then at the configuration`})
	case errors.Is(err, context.Canceled):
	default:
		var refused *RefusedError
		if errors.As(err, &refused) {
			s.fail(w, http.StatusUnprocessableEntity, api.Error{Code: api.CodeRefused, Message: err.Error()})
			return
		}
		s.cfg.Logger.Error("request failed", "error", err)
		s.fail(w, http.StatusInternalServerError, api.Error{Code: api.CodeInternal, Message: err.Error()})
	}
}

// RefusedError says that an entry was applied as a refusal.
type RefusedError struct{ Err error }

// Error implements error.
func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *RefusedError) Unwrap() error { return e.Err }

type badRequest struct{ err error }

func (e *badRequest) Error() string { return "bad request: " + e.err.Error() }

func (s *Server) fail(w http.ResponseWriter, status int, e api.Error) {
	w.Header().Set("Content-Type", api.JSON)
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(e)
}

// write answers with v in the form that the client accepts: CBOR when it asks for it, else JSON.
func write(w http.ResponseWriter, r *http.Request, v any) error {
	if strings.Contains(r.Header.Get("Accept"), api.CBOR) {
		data, err := cbor.Marshal(v)
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", api.CBOR)
		_, err = w.Write(data)
		return err
	}
	w.Header().Set("Content-Type", api.JSON)
	return json.NewEncoder(w).Encode(v)
}

func read(r *http.Request, v any) error {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return &badRequest{err}
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), api.CBOR) {
		if err := cbor.Unmarshal(data, v); err != nil {
			return &badRequest{err}
		}
		return nil
	}
	if err := json.Unmarshal(data, v); err != nil {
		return &badRequest{err}
	}
	return nil
}

func (s *Server) state(w http.ResponseWriter, r *http.Request, _ acl.Identity) error {
	q := r.URL.Query()
	var st *command.State
	var err error
	if text := q.Get("after"); text != "" {
		after, perr := strconv.ParseUint(text, 10, 64)
		if perr != nil {
			return &badRequest{fmt.Errorf("after=%s is not an index", text)}
		}
		seconds, _ := strconv.Atoi(q.Get("wait"))
		ctx, cancel := context.WithTimeout(r.Context(), min(time.Duration(max(seconds, 0))*time.Second, maxWait))
		defer cancel()
		st, err = s.cfg.Backend.Wait(ctx, after)
		if errors.Is(err, context.DeadlineExceeded) {
			st, err = s.cfg.Backend.State(r.Context(), false)
		}
	} else {
		ctx, cancel := context.WithTimeout(r.Context(), proposeTimeout)
		defer cancel()
		st, err = s.cfg.Backend.State(ctx, q.Get("stale") == "")
	}
	if err != nil {
		return err
	}
	switch part := q.Get("part"); part {
	case "":
		st = st.Public()
	case "configuration":
		if resource, node := q.Get("resource"), q.Get("node"); resource != "" || node != "" {
			st = st.Excerpt(resource, node)
		} else {
			st = st.Configuration()
		}
	default:
		return &badRequest{fmt.Errorf("part=%s: the only part is configuration", part)}
	}
	if strings.Contains(r.Header.Get("Accept"), api.CBOR) {
		data, err := st.Encode()
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", api.CBOR)
		_, err = w.Write(data)
		return err
	}
	return write(w, r, st)
}

// revision answers with the configuration after one change.
func (s *Server) revision(w http.ResponseWriter, r *http.Request, _ acl.Identity) error {
	index, err := strconv.ParseUint(r.URL.Query().Get("index"), 10, 64)
	if err != nil {
		return &badRequest{fmt.Errorf("index=%s is no revision", r.URL.Query().Get("index"))}
	}
	ctx, cancel := context.WithTimeout(r.Context(), proposeTimeout)
	defer cancel()
	st, err := s.cfg.Backend.State(ctx, true)
	if err != nil {
		return err
	}
	doc, err := st.At(index)
	if err != nil {
		return err
	}
	if !strings.Contains(r.Header.Get("Accept"), api.CBOR) {
		return write(w, r, doc)
	}
	data, err := command.EncodeDocument(doc)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", api.CBOR)
	_, err = w.Write(data)
	return err
}

func (s *Server) cib(w http.ResponseWriter, r *http.Request, _ acl.Identity) error {
	ctx, cancel := context.WithTimeout(r.Context(), proposeTimeout)
	defer cancel()
	data, err := s.cfg.Backend.CIB(ctx, r.URL.Query().Get("stale") == "")
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", api.XML)
	_, err = w.Write(data)
	return err
}

func (s *Server) local(w http.ResponseWriter, r *http.Request, _ acl.Identity) error {
	return write(w, r, s.cfg.Backend.Local())
}

func (s *Server) propose(w http.ResponseWriter, r *http.Request, id acl.Identity) error {
	e := new(command.Entry)
	if err := read(r, e); err != nil {
		return err
	}
	verb, ok := api.EntryVerbs[e.Kind]
	if !ok {
		return &badRequest{fmt.Errorf("entries of kind %d are made by the cluster itself", e.Kind)}
	}
	if err := s.authorize(id, verb, api.PathPropose); err != nil {
		return err
	}
	e.Actor = id.String()
	ctx, cancel := context.WithTimeout(r.Context(), proposeTimeout)
	defer cancel()
	index, out, err := s.cfg.Backend.Propose(ctx, e)
	if err != nil {
		return err
	}
	if out.Err != nil {
		return &RefusedError{out.Err}
	}
	return write(w, r, api.ProposeReply{Index: index})
}

func (s *Server) token(w http.ResponseWriter, r *http.Request, id acl.Identity) error {
	var req api.TokenRequest
	if err := read(r, &req); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), proposeTimeout)
	defer cancel()
	reply, err := s.cfg.Backend.Token(ctx, req, id.String())
	if err != nil {
		return err
	}
	return write(w, r, reply)
}

func (s *Server) stop(w http.ResponseWriter, r *http.Request, _ acl.Identity) error {
	if err := s.cfg.Backend.Stop(r.Context()); err != nil {
		return err
	}
	return write(w, r, struct{}{})
}

func (s *Server) recover(w http.ResponseWriter, r *http.Request, id acl.Identity) error {
	var req api.RecoverRequest
	if err := read(r, &req); err != nil {
		return err
	}
	reply, err := s.cfg.Backend.Recover(r.Context(), req, id.String())
	if err != nil {
		return err
	}
	return write(w, r, reply)
}

func (s *Server) run(w http.ResponseWriter, r *http.Request, id acl.Identity) error {
	var req api.RunRequest
	if err := read(r, &req); err != nil {
		return err
	}
	reply, err := s.cfg.Backend.Run(r.Context(), req, id.String())
	if err != nil {
		return err
	}
	return write(w, r, reply)
}

func (s *Server) init(w http.ResponseWriter, r *http.Request, _ acl.Identity) error {
	var req api.InitRequest
	if err := read(r, &req); err != nil {
		return err
	}
	if err := s.cfg.Backend.Init(r.Context(), req); err != nil {
		return err
	}
	return write(w, r, struct{}{})
}

func (s *Server) join(w http.ResponseWriter, r *http.Request, _ acl.Identity) error {
	var req api.JoinRequest
	if err := read(r, &req); err != nil {
		return err
	}
	if err := s.cfg.Backend.Join(r.Context(), req); err != nil {
		return err
	}
	return write(w, r, struct{}{})
}

func (s *Server) metadata(w http.ResponseWriter, r *http.Request, _ acl.Identity) error {
	data, err := s.cfg.Backend.Metadata(r.Context(), r.URL.Query().Get("agent"))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", api.XML)
	_, err = w.Write(data)
	return err
}

func (s *Server) agents(w http.ResponseWriter, r *http.Request, _ acl.Identity) error {
	list, err := s.cfg.Backend.Agents(r.Context(), r.URL.Query().Get("class"))
	if err != nil {
		return err
	}
	return write(w, r, list)
}

func (s *Server) decisions(w http.ResponseWriter, r *http.Request, _ acl.Identity) error {
	most := 0
	if text := r.URL.Query().Get("most"); text != "" {
		var err error
		if most, err = strconv.Atoi(text); err != nil || most < 0 {
			return &badRequest{fmt.Errorf("most=%q is no number of at least 0", text)}
		}
	}
	list, err := s.cfg.Backend.Decisions(r.Context(), most)
	if err != nil {
		return err
	}
	return write(w, r, list)
}

func (s *Server) input(w http.ResponseWriter, r *http.Request, _ acl.Identity) error {
	in, err := s.cfg.Backend.Input(r.Context(), r.URL.Query().Get("id"))
	if err != nil {
		return err
	}
	return write(w, r, in)
}
