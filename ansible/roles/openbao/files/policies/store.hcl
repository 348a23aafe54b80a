# The function store.
path "kv/data/almanac/store/*" {
  capabilities = ["read"]
}
path "kv/data/almanac/shared/*" {
  capabilities = ["read"]
}
path "pki/issue/store" {
  capabilities = ["update"]
}
