A deployment with nothing to do takes two round trips after the login, and one more where `sudo` asks for a password.
