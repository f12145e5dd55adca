package keyring

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/transport"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func random(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

func newCA(t testing.TB, seed byte) *CA {
	t.Helper()
	r := random(seed)
	cluster, err := transport.NewClusterID(r)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := NewCA(cluster, t0, r)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func newNode(t testing.TB, ca *CA, id membership.NodeID, now time.Time) *Node {
	t.Helper()
	r := random(100 + byte(id))
	key, err := GenerateKey(r)
	if err != nil {
		t.Fatal(err)
	}
	certs, err := ca.Issue(Issue{Node: id, Key: &key.PublicKey, Now: now}, r)
	if err != nil {
		t.Fatal(err)
	}
	return &Node{Cluster: ca.Cluster(), ID: id, Key: key, Certificates: certs, CAs: [][]byte{ca.Certificate()}}
}

func keyHash(t testing.TB, n *Node) transport.KeyHash {
	t.Helper()
	h, err := HashKey(&n.Key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func trustOf(t testing.TB, ca *CA, nodes ...*Node) Trust {
	t.Helper()
	cas, err := ParseCAs([][]byte{ca.Certificate()})
	if err != nil {
		t.Fatal(err)
	}
	tr := Trust{Cluster: ca.Cluster(), CAs: cas, Members: map[membership.NodeID]transport.KeyHash{}, Revoked: map[string]bool{}}
	for _, n := range nodes {
		tr.Members[n.ID] = keyHash(t, n)
	}
	return tr
}

func parse(t testing.TB, der []byte) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTrust_Verify(t *testing.T) {
	t.Parallel()
	ca, foreign := newCA(t, 1), newCA(t, 2)
	n1, n2 := newNode(t, ca, 1, t0), newNode(t, ca, 2, t0)
	trust := trustOf(t, ca, n1, n2)
	// The same cluster id under another key: what a thief of the id, or a second "init", would have.
	twin, err := NewCA(ca.Cluster(), t0, random(9))
	if err != nil {
		t.Fatal(err)
	}
	twinNode := newNode(t, twin, 1, t0)
	stranger := newNode(t, foreign, 1, t0)
	other := newNode(t, ca, 3, t0)
	// The CA's key alone: a certificate for a member's id, with a key of the thief.
	thief, err := GenerateKey(random(77))
	if err != nil {
		t.Fatal(err)
	}
	stolen, err := ca.Issue(Issue{Node: 1, Key: &thief.PublicKey, Now: t0}, random(78))
	if err != nil {
		t.Fatal(err)
	}
	revoked := trust
	revoked.Revoked = map[string]bool{SerialText(parse(t, n1.Client)): true}
	day := 24 * time.Hour

	for _, tc := range []struct {
		name  string
		trust Trust
		chain [][]byte
		role  transport.Role
		now   time.Time
		err   error
		alarm string
		want  membership.NodeID
	}{
		{name: "client", trust: trust, chain: [][]byte{n1.Client}, role: transport.RoleClient, now: t0, want: 1},
		{name: "server", trust: trust, chain: [][]byte{n2.Server}, role: transport.RoleServer, now: t0.Add(day), want: 2},
		{name: "server with CA", trust: trust, chain: [][]byte{n2.Server, ca.Certificate()}, role: transport.RoleServer, now: t0, want: 2},
		{name: "server certificate as client", trust: trust, chain: [][]byte{n1.Server}, role: transport.RoleClient, now: t0, err: ErrRole},
		{name: "client certificate as server", trust: trust, chain: [][]byte{n1.Client}, role: transport.RoleServer, now: t0, err: ErrRole},
		{name: "nothing", trust: trust, role: transport.RoleClient, now: t0, err: ErrChain},
		{name: "garbage", trust: trust, chain: [][]byte{[]byte("no certificate")}, role: transport.RoleClient, now: t0, err: ErrChain},
		{name: "too large", trust: trust, chain: [][]byte{make([]byte, maxDER+1)}, role: transport.RoleClient, now: t0, err: ErrChain},
		{name: "too many", trust: trust, chain: [][]byte{n1.Client, n1.Client, n1.Client, n1.Client}, role: transport.RoleClient, now: t0, err: ErrChain},
		{name: "other cluster", trust: trust, chain: [][]byte{stranger.Client}, role: transport.RoleClient, now: t0, err: ErrCluster},
		{name: "other CA, same cluster id", trust: trust, chain: [][]byte{twinNode.Client, twin.Certificate()}, role: transport.RoleClient, now: t0, err: ErrChain},
		{name: "CA itself", trust: trust, chain: [][]byte{ca.Certificate()}, role: transport.RoleClient, now: t0, err: ErrForm},
		{name: "not a member", trust: trust, chain: [][]byte{other.Client}, role: transport.RoleClient, now: t0, err: ErrNotMember},
		{name: "stolen CA key", trust: trust, chain: [][]byte{stolen.Client}, role: transport.RoleClient, now: t0, err: ErrKey},
		{name: "revoked", trust: revoked, chain: [][]byte{n1.Client}, role: transport.RoleClient, now: t0, err: ErrRevoked},
		{name: "the other certificate of a node with a revoked one", trust: revoked, chain: [][]byte{n1.Server}, role: transport.RoleServer, now: t0, want: 1},
		{name: "expired", trust: trust, chain: [][]byte{n1.Client}, role: transport.RoleClient, now: t0.Add(400 * day), want: 1, alarm: "expired at 2026-03-03"},
		{name: "not yet valid", trust: trust, chain: [][]byte{n1.Client}, role: transport.RoleClient, now: time.Unix(0, 0), want: 1, alarm: "not valid before"},
		{name: "CA expired", trust: trust, chain: [][]byte{n1.Client}, role: transport.RoleClient, now: t0.Add(CAValidity + day), want: 1, alarm: "expired"},
		{name: "expired and revoked", trust: revoked, chain: [][]byte{n1.Client}, role: transport.RoleClient, now: t0.Add(400 * day), err: ErrRevoked},
		{name: "expired and foreign", trust: trust, chain: [][]byte{twinNode.Client, twin.Certificate()}, role: transport.RoleClient, now: t0.Add(400 * day), err: ErrChain},
		{name: "no CA trusted", trust: Trust{Cluster: ca.Cluster(), Members: trust.Members}, chain: [][]byte{n1.Client, ca.Certificate()}, role: transport.RoleClient, now: t0, err: ErrChain},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			id, err := tc.trust.Verify(tc.chain, tc.role, tc.now)
			if !errors.Is(err, tc.err) || (tc.err == nil && err != nil) {
				t.Fatalf("Verify() = %v, want %v", err, tc.err)
			}
			if id.Node != tc.want {
				t.Fatalf("Verify() node = %d, want %d", id.Node, tc.want)
			}
			if alarms := strings.Join(id.Alarms, "; "); (tc.alarm == "") != (alarms == "") || !strings.Contains(alarms, tc.alarm) {
				t.Fatalf("Verify() alarms = %q, want %q", alarms, tc.alarm)
			}
		})
	}
}

// A certificate that the CA signed, but which is not of the form that Issue makes, is refused: the goal is that no other
// use of the CA's key makes a node. Method: change one thing of a good template at a time.
func TestTrust_Verify_Form(t *testing.T) {
	t.Parallel()
	ca := newCA(t, 1)
	n := newNode(t, ca, 1, t0)
	trust := trustOf(t, ca, n)
	mk := func(change func(*x509.Certificate), pub any) []byte {
		tmpl := parse(t, n.Client)
		tmpl.ExtraExtensions, tmpl.Extensions = nil, nil
		if change != nil {
			change(tmpl)
		}
		if pub == nil {
			pub = &n.Key.PublicKey
		}
		der, err := x509.CreateCertificate(nil, tmpl, parse(t, ca.Certificate()), pub, ca.Key())
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	uri := func(s string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			u, err := url.Parse(s)
			if err != nil {
				t.Fatal(err)
			}
			c.URIs = []*url.URL{u}
		}
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), random(5))
	if err != nil {
		t.Fatal(err)
	}
	base := "quorate://" + string(ca.Cluster())
	if _, err := trust.Verify([][]byte{mk(nil, nil)}, transport.RoleClient, t0); err != nil {
		t.Fatalf("Verify() of the unchanged template = %v, want success", err)
	}
	for _, tc := range []struct {
		name   string
		change func(*x509.Certificate)
		pub    any
		want   error
	}{
		{"two names", func(c *x509.Certificate) { c.URIs = append(c.URIs, nodeURI(ca.Cluster(), 2)) }, nil, ErrForm},
		{"no name", func(c *x509.Certificate) { c.URIs = nil }, nil, ErrForm},
		{"DNS name too", func(c *x509.Certificate) { c.DNSNames = []string{"a"} }, nil, ErrForm},
		{"address too", func(c *x509.Certificate) { c.IPAddresses = []net.IP{{1, 2, 3, 4}} }, nil, ErrForm},
		{"both usages", func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
		}, nil, ErrForm},
		{"any usage", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }, nil, ErrRole},
		{"other key usage", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }, nil, ErrForm},
		{"other curve", nil, &p384.PublicKey, ErrForm},
		{"other scheme", uri("https://" + string(ca.Cluster()) + "/node/1"), nil, ErrForm},
		{"node 0", uri(base + "/node/0"), nil, ErrForm},
		{"leading zero", uri(base + "/node/01"), nil, ErrForm},
		{"too large", uri(base + "/node/65536"), nil, ErrForm},
		{"query", uri(base + "/node/1?x"), nil, ErrForm},
		{"user", uri("quorate://u@" + string(ca.Cluster()) + "/node/1"), nil, ErrForm},
		{"port", uri("quorate://" + string(ca.Cluster()) + ":1/node/1"), nil, ErrForm},
		{"other path", uri(base + "/nodes/1"), nil, ErrForm},
		{"host of another cluster", uri("quorate://" + string(newCA(t, 3).Cluster()) + "/node/1"), nil, ErrCluster},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if _, err := trust.Verify([][]byte{mk(tc.change, tc.pub)}, transport.RoleClient, t0); !errors.Is(err, tc.want) {
				t.Fatalf("Verify() = %v, want %v", err, tc.want)
			}
		})
	}
	t.Run("the name constraint alone refuses another cluster", func(t *testing.T) {
		t.Parallel()
		alien := newCA(t, 3).Cluster()
		der := mk(uri("quorate://"+string(alien)+"/node/1"), nil)
		tr := trust
		tr.Cluster = alien
		if _, err := tr.Verify([][]byte{der}, transport.RoleClient, t0); !errors.Is(err, ErrChain) {
			t.Fatalf("Verify() = %v, want %v", err, ErrChain)
		}
	})
}

func TestCA_Rollover(t *testing.T) {
	t.Parallel()
	old := newCA(t, 1)
	next, err := NewCA(old.Cluster(), t0, random(8))
	if err != nil {
		t.Fatal(err)
	}
	n := newNode(t, old, 1, t0)
	certs, err := next.Issue(Issue{Node: 1, Key: &n.Key.PublicKey, Now: t0}, random(9))
	if err != nil {
		t.Fatal(err)
	}
	cross, err := old.CrossSign(next.Certificate(), t0, random(10))
	if err != nil {
		t.Fatal(err)
	}
	verify := func(chain [][]byte, cas ...[]byte) error {
		list, err := ParseCAs(cas)
		if err != nil {
			t.Fatal(err)
		}
		tr := Trust{Cluster: old.Cluster(), CAs: list, Members: map[membership.NodeID]transport.KeyHash{1: keyHash(t, n)}}
		_, err = tr.Verify(chain, transport.RoleServer, t0)
		return err
	}
	o, x := old.Certificate(), next.Certificate()
	for _, tc := range []struct {
		name  string
		chain [][]byte
		cas   [][]byte
		want  error
	}{
		{"old certificate, both trusted", [][]byte{n.Server}, [][]byte{o, x}, nil},
		{"new certificate, both trusted", [][]byte{certs.Server}, [][]byte{o, x}, nil},
		{"new certificate, old trusted", [][]byte{certs.Server}, [][]byte{o}, ErrChain},
		{"new certificate, old trusted, cross-signed", [][]byte{certs.Server, cross}, [][]byte{o}, nil},
		{"old certificate, old dropped", [][]byte{n.Server, o}, [][]byte{x}, ErrChain},
	} {
		if err := verify(tc.chain, tc.cas...); !errors.Is(err, tc.want) || (tc.want == nil && err != nil) {
			t.Errorf("%s: Verify() = %v, want %v", tc.name, err, tc.want)
		}
	}
	if _, err := old.CrossSign(newCA(t, 2).Certificate(), t0, random(1)); err == nil {
		t.Error("CrossSign() of another cluster's CA succeeded")
	}
	if _, err := old.CrossSign(n.Server, t0, random(1)); err == nil {
		t.Error("CrossSign() of a node's certificate succeeded")
	}
	// A cross-signed CA can't sign a further CA.
	third, err := NewCA(old.Cluster(), t0, random(11))
	if err != nil {
		t.Fatal(err)
	}
	c3, err := next.CrossSign(third.Certificate(), t0, random(12))
	if err != nil {
		t.Fatal(err)
	}
	certs3, err := third.Issue(Issue{Node: 1, Key: &n.Key.PublicKey, Now: t0}, random(13))
	if err != nil {
		t.Fatal(err)
	}
	if err := verify([][]byte{certs3.Server, c3, cross}, o); !errors.Is(err, ErrChain) {
		t.Errorf("Verify() through two cross-signed CAs = %v, want %v", err, ErrChain)
	}
}

func TestCA_Issue(t *testing.T) {
	t.Parallel()
	ca := newCA(t, 1)
	key, err := GenerateKey(random(5))
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), random(5))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		in   Issue
		want string
	}{
		{"node 0", Issue{Key: &key.PublicKey, Now: t0}, "node id 0"},
		{"no key", Issue{Node: 1, Now: t0}, "must be ECDSA P-256"},
		{"other curve", Issue{Node: 1, Key: &p384.PublicKey, Now: t0}, "must be ECDSA P-256"},
		{"too short", Issue{Node: 1, Key: &key.PublicKey, Now: t0, Validity: time.Hour}, "validity 1h"},
		{"too long", Issue{Node: 1, Key: &key.PublicKey, Now: t0, Validity: 91 * 24 * time.Hour}, "must be 720h0m0s to 2160h0m0s"},
		{"clock at 1970", Issue{Node: 1, Key: &key.PublicKey, Now: time.Unix(0, 0)}, "is the clock right?"},
		{"clock far ahead", Issue{Node: 1, Key: &key.PublicKey, Now: t0.Add(2 * CAValidity)}, "is the clock right?"},
	} {
		if _, err := ca.Issue(tc.in, random(1)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: Issue() = %v, want %q", tc.name, err, tc.want)
		}
	}
	if _, err := ca.Issue(Issue{Node: 1, Key: &key.PublicKey, Now: t0}, bytes.NewReader(make([]byte, 16))); err == nil {
		t.Error("Issue() with a random source that ends succeeded")
	}
	a, err := ca.Issue(Issue{Node: 1, Key: &key.PublicKey, Now: t0, Validity: MinValidity}, random(1))
	if err != nil {
		t.Fatal(err)
	}
	b, err := ca.Issue(Issue{Node: 1, Key: &key.PublicKey, Now: t0, Validity: MinValidity}, random(1))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Server, b.Server) || !bytes.Equal(a.Client, b.Client) {
		t.Error("Issue() with equal inputs gives different certificates")
	}
	if got, want := RenewAt(parse(t, a.Server)), t0.Add(MinValidity*2/3); got.Sub(want).Abs() > clockTolerance {
		t.Errorf("RenewAt() = %v, want about %v", got, want)
	}
	// At the end of the CA's own life, certificates end with it.
	late, err := ca.Issue(Issue{Node: 1, Key: &key.PublicKey, Now: t0.Add(CAValidity - time.Hour)}, random(1))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := parse(t, late.Client).NotAfter, parse(t, ca.Certificate()).NotAfter; !got.Equal(want) {
		t.Errorf("NotAfter = %v, want the CA's, %v", got, want)
	}
}

func TestNewCA_Refusals(t *testing.T) {
	t.Parallel()
	if _, err := NewCA("not an id", t0, random(1)); !errors.Is(err, transport.ErrClusterID) {
		t.Errorf("NewCA() = %v, want ErrClusterID", err)
	}
	id := transport.ClusterIDFromBytes([16]byte{1})
	for _, n := range []int{0, 32} {
		if _, err := NewCA(id, t0, bytes.NewReader(bytes.Repeat([]byte{1}, n))); err == nil {
			t.Errorf("NewCA() with %d random bytes succeeded", n)
		}
	}
	if _, err := GenerateKey(bytes.NewReader(bytes.Repeat([]byte{0xff}, 1024))); err == nil {
		t.Error("GenerateKey() from ones, which is above the order of the group, succeeded")
	}
	ca, n := newCA(t, 1), newNode(t, newCA(t, 1), 1, t0)
	if _, err := ParseCA(ca.Certificate(), n.Key); err == nil {
		t.Error("ParseCA() with a foreign key succeeded")
	}
	if _, err := ParseCA(n.Server, n.Key); err == nil {
		t.Error("ParseCA() of a node's certificate succeeded")
	}
	if _, _, err := ParseCACertificate(make([]byte, maxDER+1)); err == nil {
		t.Error("ParseCACertificate() of too many bytes succeeded")
	}
	if _, err := ParseCAs(nil); err == nil {
		t.Error("ParseCAs() of nothing succeeded")
	}
	if _, err := ParseCAs([][]byte{ca.Certificate(), newCA(t, 2).Certificate()}); err == nil {
		t.Error("ParseCAs() of two clusters succeeded")
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	key, err := GenerateKey(random(5))
	if err != nil {
		t.Fatal(err)
	}
	der, err := NewRequest(key)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := ParseRequest(der)
	if err != nil || !pub.Equal(&key.PublicKey) {
		t.Fatalf("ParseRequest() = %v, %v, want the key", pub, err)
	}
	for i := range der {
		bad := bytes.Clone(der)
		bad[i] ^= 1
		if pub, err := ParseRequest(bad); err == nil {
			t.Fatalf("ParseRequest() with byte %d changed = %v, want an error", i, pub)
		}
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), random(5))
	if err != nil {
		t.Fatal(err)
	}
	der, err = x509.CreateCertificateRequest(random(1), &x509.CertificateRequest{}, p384)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseRequest(der); err == nil {
		t.Error("ParseRequest() of a P-384 key succeeded")
	}
	if _, err := ParseRequest(make([]byte, maxDER+1)); err == nil {
		t.Error("ParseRequest() of too many bytes succeeded")
	}
}

func TestNode_Check(t *testing.T) {
	t.Parallel()
	ca := newCA(t, 1)
	for _, tc := range []struct {
		name   string
		change func(*Node)
		want   string
	}{
		{"good", func(*Node) {}, ""},
		{"no key", func(n *Node) { n.Key = nil }, "there is no key"},
		{"other key", func(n *Node) { n.Key = newNode(t, ca, 9, t0).Key }, "server certificate: key is not the one"},
		{"swapped", func(n *Node) { n.Server, n.Client = n.Client, n.Server }, "server certificate: certificate is for the other side"},
		{"client of another node", func(n *Node) { n.Client = newNode(t, ca, 2, t0).Client }, "client certificate: node is not a member"},
		{"no CA", func(n *Node) { n.CAs = nil }, "there is no CA"},
		{"other CA", func(n *Node) { n.CAs = [][]byte{newCA(t, 2).Certificate()} }, "not signed by a CA"},
	} {
		n := newNode(t, ca, 1, t0)
		tc.change(n)
		err := n.Check()
		if (tc.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: Check() = %v, want %q", tc.name, err, tc.want)
		}
	}
}

func TestPin(t *testing.T) {
	t.Parallel()
	ca := newCA(t, 1)
	sum := sha256.Sum256(parse(t, ca.Certificate()).RawSubjectPublicKeyInfo)
	if got := ca.Pin(); !bytes.Equal(got[:], sum[:16]) {
		t.Errorf("Pin() = %x, want %x", got, sum[:16])
	}
}
