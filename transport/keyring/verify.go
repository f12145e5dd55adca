package keyring

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/transport"
)

// Refusals of Trust.Verify.
var (
	// ErrChain: no certificate, too many, one that can't be parsed, or none of the trusted CAs signed it.
	ErrChain = errors.New("certificate is not signed by a CA of this cluster")
	// ErrForm: the certificate is not of the form that Issue makes.
	ErrForm = errors.New("certificate is not one of a node")
	// ErrRole: a server's certificate was shown by a client, or the reverse.
	ErrRole = errors.New("certificate is for the other side of a connection")
	// ErrCluster: the certificate is of another cluster.
	ErrCluster = errors.New("certificate is of another cluster")
	// ErrNotMember: the node id is not in the member list.
	ErrNotMember = errors.New("node is not a member")
	// ErrKey: the member list has another key for the node.
	ErrKey = errors.New("key is not the one in the member list")
	// ErrRevoked: the certificate was revoked.
	ErrRevoked = errors.New("certificate is revoked")
)

// maxChain is the largest number of certificates that a peer may show: its own and those of the CA and the CA before.
const maxChain = 3

// Trust says whom to believe. It is a value of one moment: when the member list changes, make a new one.
type Trust struct {
	Cluster transport.ClusterID
	// CAs are the trusted CA certificates, usually one; two while the CA is replaced.
	CAs []*x509.Certificate
	// Members maps each member to its public key.
	Members map[membership.NodeID]transport.KeyHash
	// Revoked holds the serial numbers of revoked certificates, as SerialText returns them.
	Revoked map[string]bool
}

// SerialText returns the text form of a certificate's serial number (hexadecimal, lower case).
func SerialText(cert *x509.Certificate) string { return cert.SerialNumber.Text(16) }

// Verify checks the certificates that a peer showed as role, the peer's own first. Errors wrap one of the refusals above. An
// Identity without alarms means that the certificate is valid now, too.
func (t Trust) Verify(chain [][]byte, role transport.Role, now time.Time) (transport.Identity, error) {
	var id transport.Identity
	leaf, rest, err := parseChain(chain)
	if err != nil {
		return id, err
	}
	cluster, node, err := checkNode(leaf)
	if err != nil {
		return id, err
	}
	if cluster != t.Cluster {
		return id, fmt.Errorf("%w: it is of %s, this is %s", ErrCluster, cluster, t.Cluster)
	}
	usage := x509.ExtKeyUsageClientAuth
	if role == transport.RoleServer {
		usage = x509.ExtKeyUsageServerAuth
	}
	if leaf.ExtKeyUsage[0] != usage {
		return id, fmt.Errorf("%w: a %s must show a %s certificate", ErrRole, role, role)
	}
	timely, err := verifyAnyTime(leaf, rest, t.CAs, usage, now)
	if err != nil {
		return id, err
	}
	if t.Revoked[SerialText(leaf)] {
		return id, fmt.Errorf("%w: node %d, serial %s", ErrRevoked, node, SerialText(leaf))
	}
	want, ok := t.Members[node]
	if !ok {
		return id, fmt.Errorf("%w: node %d", ErrNotMember, node)
	}
	id.Node = node
	id.Key = sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	if id.Key != want {
		return transport.Identity{}, fmt.Errorf("%w: node %d", ErrKey, node)
	}
	if !timely {
		id.Alarms = append(id.Alarms, timeAlarm(node, leaf, now))
	}
	return id, nil
}

func timeAlarm(node membership.NodeID, leaf *x509.Certificate, now time.Time) string {
	switch {
	case now.After(leaf.NotAfter):
		return fmt.Sprintf("the certificate of node %d expired at %s (now: %s)", node, stamp(leaf.NotAfter), stamp(now))
	case now.Before(leaf.NotBefore):
		return fmt.Sprintf("the certificate of node %d is not valid before %s (now: %s); is the clock right?", node, stamp(leaf.NotBefore), stamp(now))
	}
	return fmt.Sprintf("the CA certificate of node %d is not valid now (%s)", node, stamp(now))
}

func parseChain(chain [][]byte) (leaf *x509.Certificate, rest []*x509.Certificate, err error) {
	if len(chain) == 0 {
		return nil, nil, fmt.Errorf("%w: no certificate was shown", ErrChain)
	}
	if len(chain) > maxChain {
		return nil, nil, fmt.Errorf("%w: %d certificates were shown, at most %d are allowed", ErrChain, len(chain), maxChain)
	}
	for i, der := range chain {
		if len(der) > maxDER {
			return nil, nil, fmt.Errorf("%w: certificate %d has %d bytes, at most %d are allowed", ErrChain, i+1, len(der), maxDER)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: certificate %d: %w", ErrChain, i+1, err)
		}
		if i == 0 {
			leaf = cert
		} else {
			rest = append(rest, cert)
		}
	}
	return leaf, rest, nil
}

// checkNode checks that a certificate has the form that Issue makes, and returns whose it is.
func checkNode(leaf *x509.Certificate) (transport.ClusterID, membership.NodeID, error) {
	switch {
	case leaf.IsCA:
		return "", 0, fmt.Errorf("%w: it is a CA's", ErrForm)
	case !isP256(leaf.PublicKey):
		return "", 0, fmt.Errorf("%w: its key is not ECDSA P-256", ErrForm)
	case leaf.KeyUsage != x509.KeyUsageDigitalSignature:
		return "", 0, fmt.Errorf("%w: its key usage is not signing", ErrForm)
	case len(leaf.ExtKeyUsage) != 1 || len(leaf.UnknownExtKeyUsage) != 0:
		return "", 0, fmt.Errorf("%w: it must be for exactly one side of a connection", ErrForm)
	case len(leaf.URIs) != 1 || len(leaf.DNSNames)+len(leaf.IPAddresses)+len(leaf.EmailAddresses) != 0:
		return "", 0, fmt.Errorf("%w: it must have exactly one name, a URI", ErrForm)
	}
	cluster, node, err := parseNodeURI(leaf.URIs[0])
	if err != nil {
		return "", 0, fmt.Errorf("%w: %w", ErrForm, err)
	}
	return cluster, node, nil
}

// verifyAnyTime checks signatures, constraints and usages. timely says whether they hold now; otherwise they hold at
// another moment. If all certificates of a chain are valid at some moment, then they are where the last of them begins; so
// the beginnings are the only moments to try.
func verifyAnyTime(leaf *x509.Certificate, rest, cas []*x509.Certificate, usage x509.ExtKeyUsage, now time.Time) (timely bool, err error) {
	opts := x509.VerifyOptions{
		Roots:         x509.NewCertPool(),
		Intermediates: x509.NewCertPool(),
		KeyUsages:     []x509.ExtKeyUsage{usage},
		CurrentTime:   now,
	}
	moments := []time.Time{leaf.NotBefore}
	for _, c := range cas {
		opts.Roots.AddCert(c)
		moments = append(moments, c.NotBefore)
	}
	for _, c := range rest {
		opts.Intermediates.AddCert(c)
		moments = append(moments, c.NotBefore)
	}
	_, first := leaf.Verify(opts)
	if first == nil {
		return true, nil
	}
	for _, m := range moments {
		opts.CurrentTime = m
		if _, err := leaf.Verify(opts); err == nil {
			return false, nil
		}
	}
	return false, fmt.Errorf("%w: %w", ErrChain, first)
}

// Node is what a node needs to show who it is.
type Node struct {
	Cluster transport.ClusterID
	ID      membership.NodeID
	Key     *ecdsa.PrivateKey
	Certificates
	// CAs are the trusted CA certificates, in DER form; the one that signed the node's certificates is the first.
	CAs [][]byte
}

// Check reports whether the parts of a node's identity fit together. Time is not looked at.
func (n *Node) Check() error {
	if n.Key == nil {
		return errors.New("node identity: there is no key")
	}
	trust, err := n.selfTrust()
	if err != nil {
		return fmt.Errorf("node identity: %w", err)
	}
	for _, side := range []struct {
		role transport.Role
		der  []byte
	}{{transport.RoleServer, n.Server}, {transport.RoleClient, n.Client}} {
		if _, err := trust.Verify([][]byte{side.der}, side.role, time.Unix(0, 0)); err != nil {
			return fmt.Errorf("node identity: %s certificate: %w", side.role, err)
		}
	}
	return nil
}

func (n *Node) selfTrust() (Trust, error) {
	key, err := HashKey(&n.Key.PublicKey)
	if err != nil {
		return Trust{}, err
	}
	cas, err := ParseCAs(n.CAs)
	if err != nil {
		return Trust{}, err
	}
	return Trust{Cluster: n.Cluster, CAs: cas, Members: map[membership.NodeID]transport.KeyHash{n.ID: key}}, nil
}

// ParseCAs parses CA certificates (DER), which must be of one cluster.
func ParseCAs(ders [][]byte) ([]*x509.Certificate, error) {
	if len(ders) == 0 {
		return nil, errors.New("there is no CA certificate")
	}
	var cas []*x509.Certificate
	var of transport.ClusterID
	for i, der := range ders {
		cert, cluster, err := ParseCACertificate(der)
		if err != nil {
			return nil, err
		}
		if i > 0 && cluster != of {
			return nil, fmt.Errorf("the CA certificates are of two clusters, %s and %s", of, cluster)
		}
		of = cluster
		cas = append(cas, cert)
	}
	return cas, nil
}
