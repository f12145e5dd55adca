package keyring

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/transport"
)

// Lifetimes of certificates.
const (
	// MinValidity and MaxValidity bound the life of a node's certificates. Shorter ones make renewal a daily
	// business; longer ones make a certificate that nobody remembers useful for long.
	MinValidity = 30 * 24 * time.Hour
	MaxValidity = 90 * 24 * time.Hour
	// DefaultValidity is used where the caller gives none.
	DefaultValidity = 60 * 24 * time.Hour
	// CAValidity is the life of a CA certificate. A cluster's CA is replaced by rollover, not by running out.
	CAValidity = 20 * 365 * 24 * time.Hour
	// clockTolerance is how far in the past a certificate begins, so that a peer whose clock is a little late
	// does not raise an alarm.
	clockTolerance = 5 * time.Minute
)

const (
	uriScheme = "quorate"
	// maxDER bounds a certificate or a request before it is parsed. Ours have less than 1 KiB.
	maxDER = 8 << 10
	// keyAttempts bounds the draws of GenerateKey. One draw fails with probability 2^-32.
	keyAttempts = 16
)

// GenerateKey makes an ECDSA P-256 key from 32-byte draws of random. It is a function of what random gives.
func GenerateKey(random io.Reader) (*ecdsa.PrivateKey, error) {
	var raw [32]byte
	defer clear(raw[:])
	var last error
	for range keyAttempts {
		if _, err := io.ReadFull(random, raw[:]); err != nil {
			return nil, fmt.Errorf("draw a key: %w", err)
		}
		// A value of 0 or not below the order of the group is refused here; it is drawn again, so keys are uniform.
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), raw[:])
		if err == nil {
			return key, nil
		}
		last = err
	}
	return nil, fmt.Errorf("draw a key: the random source gave no valid key in %d draws: %w", keyAttempts, last)
}

// HashKey returns the hash under which the member list knows a public key.
func HashKey(pub *ecdsa.PublicKey) (transport.KeyHash, error) {
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return transport.KeyHash{}, fmt.Errorf("encode a public key: %w", err)
	}
	return sha256.Sum256(spki), nil
}

// CA is a certificate authority of one cluster with its private key.
type CA struct {
	cluster transport.ClusterID
	cert    *x509.Certificate
	key     *ecdsa.PrivateKey
}

// NewCA makes the CA of a cluster, valid from now for CAValidity. The key and the serial number come from random.
func NewCA(cluster transport.ClusterID, now time.Time, random io.Reader) (*CA, error) {
	if _, err := cluster.Bytes(); err != nil {
		return nil, fmt.Errorf("make a CA: %w", err)
	}
	key, err := GenerateKey(random)
	if err != nil {
		return nil, fmt.Errorf("make a CA: %w", err)
	}
	serial, err := newSerial(random)
	if err != nil {
		return nil, fmt.Errorf("make a CA: %w", err)
	}
	tmpl := caTemplate(cluster, serial, now)
	// One CA below it is allowed: the next CA, signed by this one while it is replaced.
	tmpl.MaxPathLen = 1
	der, err := x509.CreateCertificate(nil, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make a CA: %w", err)
	}
	return ParseCA(der, key)
}

func caTemplate(cluster transport.ClusterID, serial *big.Int, now time.Time) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "quorate CA " + string(cluster), SerialNumber: serial.Text(16)},
		NotBefore:             now.Add(-clockTolerance).UTC().Truncate(time.Second),
		NotAfter:              now.Add(CAValidity).UTC().Truncate(time.Second),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		SignatureAlgorithm:    x509.ECDSAWithSHA256,
		// The flag covers the whole name constraints extension, not only DNS names.
		PermittedDNSDomainsCritical: true,
		PermittedURIDomains:         []string{string(cluster)},
	}
}

// ParseCA returns the CA with the given certificate and key. The certificate must be a CA of one cluster and belong to the key.
func ParseCA(der []byte, key *ecdsa.PrivateKey) (*CA, error) {
	cert, cluster, err := ParseCACertificate(der)
	if err != nil {
		return nil, err
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return nil, errors.New("the key does not belong to the CA certificate")
	}
	return &CA{cluster: cluster, cert: cert, key: key}, nil
}

// ParseCACertificate parses the certificate of a cluster's CA and says which cluster it is for. It does not say that the CA is
// trusted.
func ParseCACertificate(der []byte) (*x509.Certificate, transport.ClusterID, error) {
	if len(der) > maxDER {
		return nil, "", fmt.Errorf("CA certificate has %d bytes, at most %d are allowed", len(der), maxDER)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, "", fmt.Errorf("CA certificate: %w", err)
	}
	switch {
	case !cert.IsCA || !cert.BasicConstraintsValid || cert.KeyUsage != x509.KeyUsageCertSign:
		return nil, "", errors.New("CA certificate: it is not a certificate of a CA")
	case !isP256(cert.PublicKey):
		return nil, "", errors.New("CA certificate: its key is not ECDSA P-256")
	case len(cert.PermittedURIDomains) != 1 || !cert.PermittedDNSDomainsCritical:
		return nil, "", errors.New("CA certificate: it is not constrained to the URIs of one cluster")
	}
	cluster, err := transport.ParseClusterID(cert.PermittedURIDomains[0])
	if err != nil {
		return nil, "", fmt.Errorf("CA certificate: name constraint: %w", err)
	}
	return cert, cluster, nil
}

// Cluster returns the cluster that the CA belongs to.
func (ca *CA) Cluster() transport.ClusterID { return ca.cluster }

// Certificate returns the certificate in DER form.
func (ca *CA) Certificate() []byte { return ca.cert.Raw }

// Key returns the private key, to be saved or handed to another voter.
func (ca *CA) Key() *ecdsa.PrivateKey { return ca.key }

// Pin returns what a join token holds of the CA.
func (ca *CA) Pin() Pin { return PinOf(ca.cert.RawSubjectPublicKeyInfo) }

// CrossSign signs the certificate of another CA of the same cluster, so that nodes which trust only this one trust
// that one too, as long as the result is shown to them beside a node's certificate.
func (ca *CA) CrossSign(other []byte, now time.Time, random io.Reader) ([]byte, error) {
	cert, cluster, err := ParseCACertificate(other)
	if err != nil {
		return nil, fmt.Errorf("cross-sign: %w", err)
	}
	if cluster != ca.cluster {
		return nil, fmt.Errorf("cross-sign: the CA is of cluster %s, must be of %s", cluster, ca.cluster)
	}
	serial, err := newSerial(random)
	if err != nil {
		return nil, fmt.Errorf("cross-sign: %w", err)
	}
	tmpl := caTemplate(cluster, serial, now)
	tmpl.Subject = pkix.Name{}
	tmpl.RawSubject = cert.RawSubject
	tmpl.MaxPathLenZero = true
	tmpl.NotAfter = minTime(tmpl.NotAfter, ca.cert.NotAfter)
	der, err := x509.CreateCertificate(nil, tmpl, ca.cert, cert.PublicKey, ca.key)
	if err != nil {
		return nil, fmt.Errorf("cross-sign: %w", err)
	}
	return der, nil
}

// Certificates are the two certificates of a node, in DER form.
type Certificates struct {
	Server []byte
	Client []byte
}

// Issue says what to issue.
type Issue struct {
	Node membership.NodeID
	// Key is the node's public key: of its request when it joins, of the member list when a certificate is renewed.
	Key *ecdsa.PublicKey
	// Now is the time of issue.
	Now time.Time
	// Validity is the life of the certificates, MinValidity to MaxValidity; 0 means DefaultValidity.
	Validity time.Duration
}

// Issue makes the two certificates of a node; serial numbers come from random. A time at which the CA is not valid is refused, since it
// is the time that is wrong.
func (ca *CA) Issue(in Issue, random io.Reader) (Certificates, error) {
	var out Certificates
	if in.Validity == 0 {
		in.Validity = DefaultValidity
	}
	switch {
	case in.Node == 0:
		return out, errors.New("issue a certificate: node id 0 is no node")
	case in.Key == nil || !isP256(in.Key):
		return out, errors.New("issue a certificate: the public key must be ECDSA P-256")
	case in.Validity < MinValidity || in.Validity > MaxValidity:
		return out, fmt.Errorf("issue a certificate: validity %v, must be %v to %v", in.Validity, MinValidity, MaxValidity)
	case in.Now.Before(ca.cert.NotBefore) || in.Now.After(ca.cert.NotAfter):
		return out, fmt.Errorf("issue a certificate: the time is %s, but the CA is valid from %s to %s; is the clock right?",
			stamp(in.Now), stamp(ca.cert.NotBefore), stamp(ca.cert.NotAfter))
	}
	for _, side := range []struct {
		der   *[]byte
		usage x509.ExtKeyUsage
	}{{&out.Server, x509.ExtKeyUsageServerAuth}, {&out.Client, x509.ExtKeyUsageClientAuth}} {
		serial, err := newSerial(random)
		if err != nil {
			return Certificates{}, fmt.Errorf("issue a certificate: %w", err)
		}
		tmpl := &x509.Certificate{
			SerialNumber:          serial,
			NotBefore:             maxTime(in.Now.Add(-clockTolerance).UTC().Truncate(time.Second), ca.cert.NotBefore),
			NotAfter:              minTime(in.Now.Add(in.Validity).UTC().Truncate(time.Second), ca.cert.NotAfter),
			KeyUsage:              x509.KeyUsageDigitalSignature,
			ExtKeyUsage:           []x509.ExtKeyUsage{side.usage},
			BasicConstraintsValid: true,
			SignatureAlgorithm:    x509.ECDSAWithSHA256,
			URIs:                  []*url.URL{nodeURI(ca.cluster, in.Node)},
		}
		*side.der, err = x509.CreateCertificate(nil, tmpl, ca.cert, in.Key, ca.key)
		if err != nil {
			return Certificates{}, fmt.Errorf("issue a certificate: %w", err)
		}
	}
	return out, nil
}

// RenewAt returns when a certificate is to be renewed: when 2/3 of its life are over.
func RenewAt(cert *x509.Certificate) time.Time {
	return cert.NotBefore.Add(cert.NotAfter.Sub(cert.NotBefore) / 3 * 2)
}

// NewRequest makes a certificate request (PKCS #10, DER) for a key. It proves possession of the key and says nothing
// else: the name is bound by the token, and the node id is chosen by the cluster.
func NewRequest(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.CreateCertificateRequest(nil, &x509.CertificateRequest{SignatureAlgorithm: x509.ECDSAWithSHA256}, key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate request: %w", err)
	}
	return der, nil
}

// ParseRequest checks a certificate request and returns its public key. Everything else in it is ignored.
func ParseRequest(der []byte) (*ecdsa.PublicKey, error) {
	if len(der) > maxDER {
		return nil, fmt.Errorf("certificate request has %d bytes, at most %d are allowed", len(der), maxDER)
	}
	req, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	if !isP256(req.PublicKey) {
		return nil, errors.New("certificate request: the key is not ECDSA P-256")
	}
	if err := req.CheckSignature(); err != nil {
		return nil, fmt.Errorf("certificate request: it is not signed by its own key: %w", err)
	}
	return req.PublicKey.(*ecdsa.PublicKey), nil
}

func nodeURI(cluster transport.ClusterID, node membership.NodeID) *url.URL {
	return &url.URL{Scheme: uriScheme, Host: string(cluster), Path: "/node/" + strconv.FormatUint(uint64(node), 10)}
}

// parseNodeURI is the inverse of nodeURI. It accepts nothing that nodeURI does not make.
func parseNodeURI(u *url.URL) (transport.ClusterID, membership.NodeID, error) {
	text := u.String()
	bad := func() (transport.ClusterID, membership.NodeID, error) {
		return "", 0, fmt.Errorf("its name is %.100q, must be %s://<cluster id>/node/<node id>", text, uriScheme)
	}
	if u.Scheme != uriScheme {
		return bad()
	}
	cluster, err := transport.ParseClusterID(u.Host)
	if err != nil {
		return bad()
	}
	digits, ok := strings.CutPrefix(u.Path, "/node/")
	if !ok {
		return bad()
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 {
		return bad()
	}
	node := membership.NodeID(n)
	if nodeURI(cluster, node).String() != text {
		return bad()
	}
	return cluster, node, nil
}

// newSerial draws a positive serial number of 127 bits with its top bit set, so that it always has 16 bytes.
func newSerial(random io.Reader) (*big.Int, error) {
	var b [16]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b[:]), nil
}

func isP256(pub any) bool {
	k, ok := pub.(*ecdsa.PublicKey)
	return ok && k.Curve == elliptic.P256()
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func maxTime(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
