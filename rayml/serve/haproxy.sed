# What Ray Serve's HAProxy configuration lacks for safety, for sed. Serve writes it from a template
# that has no option for any of this.

# Statistics and metrics are for this machine alone, and the admin socket for its owner.
s/^\( *bind \)\*\{0,1\}:/\1127.0.0.1:/
s/^\( *stats socket .*\) mode 666 /\1 mode 600 /

# A client cannot change how long a request may take, nor where it seems to come from, nor learn by
# what it is served.
/^frontend http_frontend$/a\
    http-request del-header x-request-timeout-seconds\
    http-request del-header x-request-disconnect-disabled\
    http-request set-header x-forwarded-for %[src]\
    http-after-response del-header server\
    http-after-response set-header x-content-type-options nosniff
