import { ApiError } from '../../api';
import { eventually, FakeApi } from '../../__tests__/fakes';
import { ServicesModel } from '../../model/services';
import { ServicesPanel } from '..';
import { Attached } from './attached';

const PAGE = 'https://hub.example.org/services/model-service/';

let attached: Attached;
let fake: FakeApi;
let model: ServicesModel;
let panel: ServicesPanel;

beforeEach(() => {
  attached = new Attached('a');
  ({ fake, model, panel } = attached);
});

afterEach(() => attached.dispose());

const link = () => panel.node.querySelector<HTMLAnchorElement>('.jp-ModelService-administration a');

async function greeted(): Promise<void> {
  model.watch();
  await eventually(() => model.site !== null && panel.node.querySelector('li') !== null, 'the list');
}

it('leads administrators to their page, in a window of its own', async () => {
  fake.administration = PAGE;
  await greeted();
  await eventually(() => link() !== null, 'the link');
  expect(link()!.textContent).toBe('Administration');
  expect([link()!.href, link()!.target, link()!.rel]).toEqual([PAGE, '_blank', 'noopener noreferrer']);
});

it('leads nobody else there', async () => {
  await greeted();
  expect(fake.asked('gateway')).toBe(1);
  expect(link()).toBeNull();
});

it('shows the list where nobody can say who is an administrator', async () => {
  fake.administration = PAGE;
  fake.refusals = { gateway: new ApiError('It is busy.', 503, 'overloaded') };
  await greeted();
  expect(model.status).toBe('ready');
  expect(link()).toBeNull();
});
