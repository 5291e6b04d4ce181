package switchboard_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"switchboard"
	"switchboard/service"
)

// authority signs certificates; nobody but the test knows it.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// make makes a certificate, signed by this authority, or by itself where there is none yet.
func (a *authority) make(t *testing.T, template x509.Certificate) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := &template, key
	if a.certificate != nil {
		parent, signer = a.certificate, a.key
	}
	made, err := x509.CreateCertificate(rand.Reader, &template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return made, key
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	made := &authority{}
	own, key := made.make(t, x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	certificate, err := x509.ParseCertificate(own)
	if err != nil {
		t.Fatal(err)
	}
	made.certificate, made.key = certificate, key
	return made
}

func (a *authority) trusted() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(a.certificate)
	return &tls.Config{RootCAs: roots}
}

// startEncrypted starts a stage whose hub speaks TLS on both sides, as localhost. Its own way to the control API speaks none: what is
// published is published by the clients.
func startEncrypted(t *testing.T, by *authority) *stage {
	t.Helper()
	certificate, key := by.make(t, x509.Certificate{DNSNames: []string{"localhost"}})
	written, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var options []string
	for what, block := range map[string]pem.Block{
		"cert": {Type: "CERTIFICATE", Bytes: certificate},
		"key":  {Type: "PRIVATE KEY", Bytes: written},
	} {
		path := filepath.Join(t.TempDir(), what+".pem")
		if err := os.WriteFile(path, pem.EncodeToMemory(&block), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, side := range []string{"clients", "api"} {
			options = append(options, fmt.Sprintf("--set=%s.tls_%s_file=%q", side, what, path))
		}
	}
	return startStage(t, options...)
}

// byName gives the hub's address by the name that its certificate has.
func byName(address string) string { return "localhost" + address[strings.LastIndex(address, ":"):] }

func TestTLS(t *testing.T) {
	known := newAuthority(t)
	stage := startEncrypted(t, known)
	t.Run("a trusted hub is spoken to in TLS", func(t *testing.T) { spokenTo(t, stage, known) })
	t.Run("a hub that is not trusted ends the client, and the error says so", func(t *testing.T) { untrusted(t, stage, known) })
	nothingLeft(t)
}

// over gives an HTTP client that trusts so, and whose connections end with the test.
func over(t *testing.T, trusted *tls.Config) *http.Client {
	transport := &http.Transport{TLSClientConfig: trusted}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func connectOver(t *testing.T, stage *stage, trusted *tls.Config) *service.Service {
	t.Helper()
	hub, err := service.Connect(byName(stage.GRPC), service.Options{APIKey: stage.APIKey, TLS: trusted})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hub.Close() })
	return hub
}

func spokenTo(t *testing.T, stage *stage, known *authority) {
	ctx, done := context.WithTimeout(t.Context(), patience)
	defer done()
	client := stage.client(t, "https://"+byName(stage.Hub), switchboard.Options{HTTPClient: over(t, known.trusted())})
	name := channel("chat")
	subscription, err := client.Subscribe(ctx, name, switchboard.Start{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := connectOver(t, stage, known.trusted()).Publish(ctx, service.Item{Channel: name, Data: object{"n": 0}}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Publish(ctx, name, object{"n": 1}); err != nil {
		t.Fatal(err)
	}
	numbered(t, subscription, 0, 1)
}

func untrusted(t *testing.T, stage *stage, known *authority) {
	ctx, done := context.WithTimeout(t.Context(), patience)
	defer done()
	named := "https://" + byName(stage.Hub)
	for why, dialed := range map[string]struct {
		url     string
		trusted *tls.Config
	}{
		"signed by another than who is trusted":   {named, newAuthority(t).trusted()},
		"signed by nobody whom the machine knows": {named, nil},
		"for another name":                        {strings.Replace(named, "localhost", "127.0.0.1", 1), known.trusted()},
	} {
		client := stage.client(t, dialed.url, switchboard.Options{HTTPClient: over(t, dialed.trusted)})
		_, err := client.Ready(ctx)
		if switchboard.Code(err) != "untrusted" || !strings.Contains(err.Error(), "certificate is not trusted") {
			t.Errorf("%s: %v", why, err)
		}
		if client.State() != switchboard.Disconnected {
			t.Errorf("%s: it is %v", why, client.State())
		}
	}
	short, end := context.WithTimeout(ctx, 2*time.Second)
	defer end()
	_, err := connectOver(t, stage, newAuthority(t).trusted()).Publish(short, service.Item{Channel: "chat:1", Data: 1})
	if switchboard.Code(err) != "unavailable" || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a service: %v", err)
	}
}
