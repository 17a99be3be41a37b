Many hosts are logged into and asked at once, after the first, which is where somebody may have to be asked for a password.
