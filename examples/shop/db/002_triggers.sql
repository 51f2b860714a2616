create function record_state() returns trigger language plpgsql as $$
begin
    insert into audit (order_id, before, after)
    values (new.id, case when tg_op = 'UPDATE' then old.state end, new.state);
    return null;
end;
$$;

create trigger placed after insert on orders for each row execute function record_state();

create trigger changed after update of state on orders for each row
    when (old.state is distinct from new.state) execute function record_state();

create function announce_mail() returns trigger language plpgsql as $$
begin
    perform pg_notify('mails', new.id::text);
    return null;
end;
$$;

create trigger queued after insert on mails for each row execute function announce_mail();

-- A refund can never exceed what was paid, however many are made.
create function check_refund() returns trigger language plpgsql as $$
begin
    if (select sum(r.cents) > p.cents from refunds r join payments p on p.id = r.payment_id
        where p.id = new.payment_id group by p.cents) then
        raise exception 'refunds exceed payment %', new.payment_id using errcode = 'check_violation';
    end if;
    return null;
end;
$$;

create constraint trigger within_payment after insert on refunds deferrable initially deferred
    for each row execute function check_refund();
