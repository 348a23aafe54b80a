// Package kerberos logs in by a keytab.
package kerberos

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/keytab"
)

// Login gets a ticket for the principal, with or without its realm, from the realm's key distribution centre. The client renews it
// before it ends, and logs in again by the keytab when it cannot be renewed; its Destroy ends that. It is safe for concurrent use.
func Login(krb5Conf, keytabFile, principal string) (*client.Client, error) {
	conf, err := config.Load(krb5Conf)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", krb5Conf, err)
	}
	keys, err := keytab.Load(keytabFile)
	if err != nil {
		return nil, fmt.Errorf("read keytab %s: %w", keytabFile, err)
	}
	user, realm, ok := strings.Cut(principal, "@")
	if !ok {
		realm = conf.LibDefaults.DefaultRealm
	}
	c := client.NewWithKeytab(user, realm, keys, conf, client.DisablePAFXFAST(true))
	if err := c.Login(); err != nil {
		c.Destroy()
		return nil, fmt.Errorf("log in as %s@%s: %w; %s", user, realm, err, advice(err, krb5Conf, keytabFile))
	}
	return c, nil
}

// advice says what a person can do. The library makes texts of what the KDC answers.
func advice(err error, krb5Conf, keytabFile string) string {
	if text := err.Error(); strings.Contains(text, "KRB_AP_ERR_SKEW") || strings.Contains(text, "clock skew") {
		return fmt.Sprintf("the clock of this machine and that of the KDC which %s names (ALMANAC_HDFS_KRB5_CONF) differ by more than the realm allows, which is "+
			"five minutes if nothing else is set: set both by NTP (see `timedatectl`)", krb5Conf)
	}
	return fmt.Sprintf("see that the keytab %s (ALMANAC_HDFS_KEYTAB) holds its present key, and that the KDC which %s names (ALMANAC_HDFS_KRB5_CONF) can be reached",
		keytabFile, krb5Conf)
}

// Validity is when the ticket that a client holds was issued, and when it ends; both zero if it holds none.
func Validity(c *client.Client) (issued, end time.Time) {
	// The library shows the times of its sessions in a printout only.
	var out strings.Builder
	c.Print(&out)
	_, text, _ := strings.Cut(out.String(), "TGT Sessions:\n")
	var sessions []struct {
		AuthTime time.Time `json:"AuthTime"`
		EndTime  time.Time `json:"EndTime"`
	}
	if json.NewDecoder(strings.NewReader(text)).Decode(&sessions) != nil {
		return issued, end
	}
	for _, s := range sessions {
		if s.EndTime.After(end) {
			issued, end = s.AuthTime, s.EndTime
		}
	}
	return issued, end
}
