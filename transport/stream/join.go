package stream

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/quorate/quorate/transport"
)

func exportJoin(t *tls.Conn) ([]byte, error) {
	cs := t.ConnectionState()
	b, err := cs.ExportKeyingMaterial(transport.ExportJoin, nil, transport.ExportSize)
	if err != nil {
		return nil, fmt.Errorf("export the join value: %w", err)
	}
	return b, nil
}

// serveJoin answers one join request. The deadline of the handshake still stands while the request is read.
func (e *Endpoint) serveJoin(ctx context.Context, s *session, source netip.AddrPort) error {
	msg, err := s.readControl(maxJoin)
	if err != nil {
		return fmt.Errorf("join: %w", err)
	}
	req, err := parseJoinRequest(msg)
	if err != nil {
		return fmt.Errorf("join: %w", err)
	}
	session, err := exportJoin(s.tls)
	if err != nil {
		return fmt.Errorf("join: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	reply, joinErr := e.cfg.Join.Join(ctx, source, req, session)
	if joinErr == nil && len(reply) >= maxJoin {
		joinErr = fmt.Errorf("the answer has %d bytes, at most %d are allowed", len(reply), maxJoin-1)
	}
	answer := append([]byte{0}, reply...)
	if joinErr != nil {
		code, text := RefusedJoin, joinErr.Error()
		var refused *RefusedError
		if errors.As(joinErr, &refused) {
			code, text = refused.Refusal, refused.Text
		}
		answer = append([]byte{byte(code)}, cleanText(text)...)
	}
	if err := s.raw.SetDeadline(time.Now().Add(writeTimeout)); err != nil {
		return fmt.Errorf("join of %q: %w", req.Node, err)
	}
	if err := s.write(transport.ClassControl, answer); err != nil && joinErr == nil {
		return fmt.Errorf("join of %q: send the answer: %w", req.Node, err)
	}
	if joinErr != nil {
		return fmt.Errorf("join of %q: %w", req.Node, joinErr)
	}
	e.stats.joins.Add(1)
	_ = s.tls.CloseWrite()
	return nil
}

// ErrNotAnswered: the member closed the connection before it said anything, which is how one without an open join
// token treats strangers.
var ErrNotAnswered = errors.New("the member answers no joiner: no join token is open there")

// JoinConfig is what a node needs to join.
type JoinConfig struct {
	// Addresses of members, which are tried in turn.
	Addresses []netip.AddrPort
	// Local is the address to dial from; the zero value leaves the choice to the system.
	Local netip.Addr
	// VerifyServer checks the server's certificates against the token (keyring.Token.VerifyServer). Nothing is sent before.
	VerifyServer func(chain [][]byte) error
	// Request makes the request, with its proof for the value exported from the TLS session (keyring.Token.Prove).
	Request func(session []byte) (*JoinRequest, error)
	// Dial opens connections; nil means TCP.
	Dial func(ctx context.Context, local netip.Addr, remote netip.AddrPort) (net.Conn, error)
}

// Join asks the members of a cluster, one after the other, to let this node join, and returns the answer of the first
// that could be reached. A refusal is final, unless it says that this member cannot (RefusedBusy): it is a *RefusedError. If no member could
// be reached, the error has the reason of each.
func Join(ctx context.Context, cfg JoinConfig) ([]byte, error) {
	if len(cfg.Addresses) == 0 || cfg.VerifyServer == nil || cfg.Request == nil {
		return nil, errors.New("join: Addresses, VerifyServer and Request must be set")
	}
	if cfg.Dial == nil {
		cfg.Dial = func(ctx context.Context, local netip.Addr, remote netip.AddrPort) (net.Conn, error) {
			d := net.Dialer{Control: setOptions, KeepAliveConfig: keepAlive}
			if local.IsValid() {
				d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(local, 0))
			}
			return d.DialContext(ctx, "tcp", remote.String())
		}
	}
	var errs []error
	for _, a := range cfg.Addresses {
		reply, err := joinOne(ctx, cfg, a)
		if err == nil {
			return reply, nil
		}
		err = fmt.Errorf("join at %v: %w", a, err)
		var refused *RefusedError
		if errors.As(err, &refused) && refused.Refusal != RefusedBusy || ctx.Err() != nil {
			return nil, err
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func joinOne(ctx context.Context, cfg JoinConfig, at netip.AddrPort) ([]byte, error) {
	hctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	raw, err := cfg.Dial(hctx, cfg.Local, at)
	if err != nil {
		return nil, err
	}
	s := &session{raw: raw}
	defer s.close()
	defer context.AfterFunc(ctx, s.close)()
	s.tls = tls.Client(raw, clientTLS(transport.ALPNJoin, nil, func(cs *tls.ConnectionState) error {
		return cfg.VerifyServer(rawChain(cs))
	}))
	if err := s.tls.HandshakeContext(hctx); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) {
			return nil, ErrNotAnswered
		}
		return nil, err
	}
	s.r = bufio.NewReaderSize(s.tls, maxFrame)
	session, err := exportJoin(s.tls)
	if err != nil {
		return nil, err
	}
	req, err := cfg.Request(session)
	if err != nil {
		return nil, err
	}
	msg, err := req.encode()
	if err != nil {
		return nil, err
	}
	if err := raw.SetDeadline(time.Now().Add(joinTimeout + writeTimeout)); err != nil {
		return nil, err
	}
	if err := s.write(transport.ClassControl, msg); err != nil {
		return nil, err
	}
	answer, err := s.readControl(maxJoin)
	if err != nil {
		// The member may have granted the request before it was lost. Then the token is used, and another member would say so.
		return nil, fmt.Errorf("no answer: %w", unexpected(err))
	}
	switch {
	case len(answer) == 0:
		return nil, fmt.Errorf("%w: empty answer", ErrProtocol)
	case answer[0] != 0:
		return nil, &RefusedError{Refusal: Refusal(answer[0]), Text: cleanText(string(answer[1:])), ByPeer: true}
	}
	return answer[1:], nil
}
