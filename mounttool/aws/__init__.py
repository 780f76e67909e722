"""AWS itself, through boto3; imported only when used."""
