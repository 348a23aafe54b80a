// Package kerberos logs in by a keytab.
package kerberos

import (
	"fmt"
	"strings"

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
		return nil, fmt.Errorf("log in as %s@%s: %w; see that the keytab %s holds its present key, that the KDC can be reached, and the clocks",
			user, realm, err, keytabFile)
	}
	return c, nil
}
