package stream

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/transport"
	"github.com/quorate/quorate/transport/keyring"
)

// clerk answers joiners with the real tokens of keyring.
type clerk struct {
	w       *world
	open    atomic.Bool
	records []keyring.TokenRecord
	asked   atomic.Int32
	reply   []byte
}

func (c *clerk) Open() bool { return c.open.Load() }

func (c *clerk) Join(_ context.Context, _ netip.AddrPort, req *JoinRequest, session []byte) ([]byte, error) {
	c.asked.Add(1)
	claim := &keyring.JoinClaim{Cluster: req.Cluster, TokenID: req.TokenID, Node: req.Node, Request: req.Request, Info: req.Info, Proof: req.Proof}
	i, err := keyring.CheckClaim(c.w.ca.Cluster(), c.records, claim, session, issued)
	if err != nil {
		return nil, err
	}
	if _, err := keyring.ParseRequest(req.Request); err != nil {
		return nil, err
	}
	c.records[i].Used = true
	return c.reply, nil
}

func newClerk(t *testing.T, w *world) (*clerk, keyring.Token, *node) {
	t.Helper()
	c := &clerk{w: w, reply: []byte("welcome")}
	c.open.Store(true)
	b := w.newNode(2, func(n *node) { n.cfg.Join = c })
	b.run("127.0.0.2:0")
	tok, rec, err := keyring.NewToken(keyring.TokenRequest{
		Cluster: w.ca.Cluster(), Pin: w.ca.Pin(), Node: "n9", Now: issued, Addresses: []netip.AddrPort{b.Addr(0)},
	}, random(5))
	if err != nil {
		t.Fatal(err)
	}
	c.records = []keyring.TokenRecord{rec}
	return c, tok, b
}

var joiners atomic.Uint32

func joinWith(t *testing.T, tok keyring.Token, change func(*JoinConfig)) ([]byte, error) {
	t.Helper()
	key, err := keyring.GenerateKey(random(77))
	if err != nil {
		t.Fatal(err)
	}
	csr, err := keyring.NewRequest(key)
	if err != nil {
		t.Fatal(err)
	}
	cfg := JoinConfig{
		// Each from its own address, since the server may still hold the place of the one before.
		Addresses: tok.Addresses, Local: netip.AddrFrom4([4]byte{127, 0, 7, byte(1 + joiners.Add(1)%250)}), VerifyServer: tok.VerifyServer,
		Request: func(session []byte) (*JoinRequest, error) {
			c := keyring.JoinClaim{Node: "n9", Request: csr, Info: []byte("info")}
			tok.Prove(&c, session)
			return &JoinRequest{Cluster: c.Cluster, TokenID: c.TokenID, Node: c.Node, Request: c.Request, Info: c.Info, Proof: c.Proof}, nil
		},
	}
	if change != nil {
		change(&cfg)
	}
	return Join(context.Background(), cfg)
}

func TestJoin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, tok, b := newClerk(t, w)
	// The first address does not answer; the next one is tried.
	reply, err := joinWith(t, tok, func(cfg *JoinConfig) {
		cfg.Addresses = append([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.77:1")}, cfg.Addresses...)
	})
	if err != nil || string(reply) != "welcome" {
		t.Fatalf("Join() = %q, %v, want welcome", reply, err)
	}
	_, err = joinWith(t, tok, nil)
	if !refusedFor(RefusedJoin, true)(err) || !strings.Contains(err.Error(), keyring.ErrTokenUsed.Error()) {
		t.Fatalf("Join() with a used token = %v", err)
	}
	b.waitReport(is(keyring.ErrTokenUsed))
	c.records[0].Used = false
	c.records[0].Expires = issued.Add(-time.Second)
	if _, err = joinWith(t, tok, nil); !refusedFor(RefusedJoin, true)(err) || !strings.Contains(err.Error(), "expired") {
		t.Fatalf("Join() with an expired token = %v", err)
	}
	c.records[0].Expires = issued.Add(time.Hour)
	c.records[0].Node = "n8"
	if _, err = joinWith(t, tok, nil); !refusedFor(RefusedJoin, true)(err) || !strings.Contains(err.Error(), "n8") {
		t.Fatalf("Join() under another name = %v", err)
	}
	c.records[0].Node = "n9"
	// An answer of the largest size comes through, a larger one is refused.
	for n, ok := range map[int]bool{maxJoin - 1: true, maxJoin: false} {
		c.records[0].Used = false
		c.reply = bytes.Repeat([]byte("x"), n)
		reply, err := joinWith(t, tok, nil)
		if (err == nil) != ok || ok && len(reply) != n {
			t.Errorf("Join() with an answer of %d bytes = %d bytes, %v", n, len(reply), err)
		}
	}
	if s := b.Stats(); s.Joins != 2 {
		t.Errorf("Stats() = %+v, want 2 joins", s)
	}
	// When no token is open, the joiner is a stranger.
	c.open.Store(false)
	asked := c.asked.Load()
	if _, err = joinWith(t, tok, nil); err == nil || refusedFor(RefusedJoin, true)(err) {
		t.Errorf("Join() without an open token = %v, want a closed connection", err)
	}
	if c.asked.Load() != asked || b.Stats().RefusedSource == 0 {
		t.Error("a joiner was answered though no token is open")
	}
}

// The joiner sends nothing to a server that is not of the token's cluster.
func TestJoin_ManInTheMiddle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, tok, b := newClerk(t, w)
	ca, err := keyring.NewCA(w.ca.Cluster(), issued, random(66))
	if err != nil {
		t.Fatal(err)
	}
	b.creds, _ = certificates(t, ca, 2, 65)
	if _, err := joinWith(t, tok, nil); !errors.Is(err, keyring.ErrTokenPin) {
		t.Fatalf("Join() = %v, want %v", err, keyring.ErrTokenPin)
	}
	if c.asked.Load() != 0 {
		t.Error("the request was sent")
	}
	// A token of another cluster.
	tok.Cluster = transport.ClusterIDFromBytes([16]byte{5})
	b.creds, _ = certificates(t, w.ca, 2, 65)
	if _, err := joinWith(t, tok, nil); !errors.Is(err, keyring.ErrTokenCluster) {
		t.Fatalf("Join() = %v, want %v", err, keyring.ErrTokenCluster)
	}
}

func TestJoin_Refusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, tok, b := newClerk(t, w)
	if _, err := Join(context.Background(), JoinConfig{}); err == nil {
		t.Error("Join() without a configuration succeeded")
	}
	broken := errors.New("no key")
	if _, err := joinWith(t, tok, func(c *JoinConfig) { c.Request = func([]byte) (*JoinRequest, error) { return nil, broken } }); !errors.Is(err, broken) {
		t.Errorf("Join() = %v, want %v", err, broken)
	}
	if _, err := joinWith(t, tok, func(c *JoinConfig) {
		c.Request = func([]byte) (*JoinRequest, error) { return &JoinRequest{Info: make([]byte, MaxJoinBlob+1)}, nil }
	}); err == nil {
		t.Error("Join() with too much info succeeded")
	}
	if _, err := joinWith(t, tok, func(c *JoinConfig) {
		c.Request = func([]byte) (*JoinRequest, error) { return &JoinRequest{Cluster: "x", Node: "n"}, nil }
	}); err == nil {
		t.Error("Join() with a damaged request succeeded")
	}
	b.waitReport(is(ErrProtocol))
}

// What crypto/tls negotiates: anything but TLS 1.3 with exactly one of our protocols, from the right address and with a certificate, is refused.
func TestTLS_Refusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, _, b := newClerk(t, w)
	a := w.newNode(1, nil)
	p := a.spec()
	p.Addresses[0] = netip.MustParseAddrPort("127.0.0.1:5404")
	if err := b.SetPeers([]Peer{p}); err != nil {
		t.Fatal(err)
	}
	peerALPN, joinALPN := []string{transport.ALPNPeer}, []string{transport.ALPNJoin}
	for _, tc := range []struct {
		name   string
		from   string
		protos []string
		change func(*tls.Config)
		ok     bool
	}{
		{"member", "127.0.0.1", peerALPN, nil, true},
		{"joiner", "127.0.0.9", joinALPN, nil, true},
		{"joiner at a member's address", "127.0.0.1", joinALPN, nil, true},
		{"TLS 1.2", "127.0.0.1", peerALPN, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }, false},
		{"TLS 1.2 joiner", "127.0.0.9", joinALPN, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }, false},
		{"no certificate", "127.0.0.1", peerALPN, func(c *tls.Config) { c.GetClientCertificate, c.Certificates = nil, nil }, false},
		{"peer protocol from a stranger's address", "127.0.0.9", peerALPN, nil, false},
		{"no protocol", "127.0.0.1", nil, nil, false},
		{"unknown protocol", "127.0.0.1", []string{"h2"}, nil, false},
		{"newer protocol", "127.0.0.1", []string{"quorate/2"}, nil, false},
		{"both protocols", "127.0.0.1", []string{transport.ALPNPeer, transport.ALPNJoin}, nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(tc.from)}}
			raw, err := d.Dial("tcp", b.Addr(0).String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = raw.Close() }()
			cfg := &tls.Config{InsecureSkipVerify: true, NextProtos: tc.protos, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return &a.creds.Client, nil
			}}
			if tc.change != nil {
				tc.change(cfg)
			}
			c := tls.Client(raw, cfg)
			err = c.Handshake()
			if err == nil && !tc.ok {
				// The server judges the client's certificate after the client is done.
				_, err = c.Read(make([]byte, 1))
			}
			if (err == nil) != tc.ok {
				t.Errorf("handshake = %v, want success: %v", err, tc.ok)
			}
			if tc.ok {
				if cs := c.ConnectionState(); cs.Version != tls.VersionTLS13 || cs.DidResume {
					t.Errorf("version %x, resumed %v", cs.Version, cs.DidResume)
				}
			}
		})
	}
	if ups, _ := b.counts(); ups != 0 {
		t.Errorf("%d connections came about", ups)
	}
}

// A server that speaks TLS 1.2, or agrees to no protocol, is refused by the client's side.
func TestTLS_BadServer(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*tls.Config){
		"TLS 1.2":     func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
		"no protocol": func(c *tls.Config) { c.NextProtos = nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a := w.newNode(1, nil)
			a.run("127.0.0.1:0")
			creds, key := certificates(t, w.ca, 2, 52)
			w.change(func(tr *keyring.Trust) { tr.Members[2] = key })
			cfg := &tls.Config{Certificates: []tls.Certificate{creds.Server}, NextProtos: []string{transport.ALPNPeer}}
			change(cfg)
			l, err := net.Listen("tcp", "127.0.0.2:0")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			go func() {
				for {
					raw, err := l.Accept()
					if err != nil {
						return
					}
					_ = tls.Server(raw, cfg).Handshake()
					_ = raw.Close()
				}
			}()
			if err := a.SetPeers([]Peer{{Node: 2, Name: "n2", Key: key, Addresses: [8]netip.AddrPort{l.Addr().(*net.TCPAddr).AddrPort()}}}); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"TLS 1.2": "version", "no protocol": "does not speak quorate/1"}[name]
			a.waitReport(func(err error) bool { return err != nil && strings.Contains(err.Error(), want) })
			if ups, _ := a.counts(); ups != 0 {
				t.Errorf("%d connections came about", ups)
			}
		})
	}
}
