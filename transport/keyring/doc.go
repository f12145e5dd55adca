// Package keyring holds who may speak for a node: the certificate authority of the cluster (CA), the
// certificates of the nodes, the check of a peer's certificate, the key files, and join tokens. It opens no socket.
//
// # Identity
//
// A node has one ECDSA P-256 key, made on the node and never sent. Two certificates go with it, one for the side
// that accepts connections and one for the side that dials; each carries exactly one name, the URI
//
//	quorate://<cluster id>/node/<node id>
//
// and the CA is constrained to URIs with that host. A certificate alone proves nothing: [Trust.Verify] also wants the public
// key in the member list that the caller gives, and the certificate not revoked. So who steals the CA key alone can
// neither impersonate a member nor join. Renewal keeps the key; a new key is an entry of the replicated log.
//
// An expired or not yet valid certificate between nodes whose keys are in the member list is an alarm, not a
// refusal: a cluster that was switched off for a year, or whose clock battery died, must start.
//
// To replace the CA: make a new one, sign it by the old one ([CA.CrossSign]), trust both, reissue, and drop the old one.
//
// # Join token
//
// A token is "QRT1-" and the base32 text (RFC 4648, upper case, no padding) of
//
//	cluster id     16  binary form of transport.ClusterID
//	secret         16  random
//	CA pin         16  first 16 bytes of the SHA-256 of the CA's public key (SubjectPublicKeyInfo)
//	count           1  number of addresses, 1 to 3
//	addresses           each: 4 or 6, then 4 or 16 bytes of address, then 2 bytes of port, big endian
//	checksum        4  first 4 bytes of the SHA-256 of "quorate token" and all of the above
//
// The stored form, [TokenRecord], does not allow to join: it holds the hash of a key that is made from the secret, in the
// manner of SCRAM (RFC 5802, 3). With K = HMAC-SHA256(secret, "quorate join client key"), the record holds S = SHA-256(K), the
// joiner sends K xor HMAC-SHA256(S, message), and the server, which knows S, gets K back and compares its hash. The message is
// the value exported from the TLS session, and hashes of all that is asked for; so a proof is worth nothing in another
// session or for another key.
//
// # Files
//
// Key files are regular files of the daemon's user with mode 0600 in a folder of that user with mode 0700; what is
// more open is refused by name. They are written under a temporary name (O_EXCL), synced, renamed, and the folder
// is synced. The folder holds ca.crt (PEM, all trusted CAs), ca.key (on voters), node.key, node-server.crt and node-client.crt.
//
// # Randomness, time, concurrency
//
// Random sources and the time are parameters, so that tests repeat. Signatures are deterministic (RFC 6979). Values are
// not changed by their methods (except [Attempts]), so they may be used by several goroutines at once.
package keyring
